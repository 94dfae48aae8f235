"""A message that a worker has taken, shared by the loop thread (which took it) and the main thread (which runs it)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace

from busfn.bus.base import Channel
from busfn.protocol.codecs import Payload
from busfn.protocol.envelope import Call
from busfn_services.flight import Kind
from busfn_services.worker.outlet import Outlet

Result = tuple[int, Payload]
"""The offset of an input, and what it gave."""


class Job:
    """One message: a single input, or a range of a chunk's inputs whose unstarted rest can be given away."""

    __slots__ = (
        "_end", "_ended", "_lock", "_next", "_offer", "_ready", "begin", "call", "calls", "cancelled", "control",
        "given_back", "kind", "lost", "noted", "outlet", "over", "returned", "sequence", "slot", "started_at",
        "suspect", "tail", "token", "wire",
    )  # fmt: skip

    def __init__(self, call: Call, kind: Kind, slot: int, token: str = "", sequence: int = 0) -> None:
        self.wire = call
        """As it came, large arguments still a reference."""
        self.call = call
        self.calls: Sequence[str] = ()
        """Ids, when its inputs are calls of their own."""
        self._ready: list[Result] = []
        self.kind = kind
        self.slot = slot
        self.token = token
        self.sequence = sequence
        low, high = call.select or (0, max(1, call.count))
        self.begin = low
        self._next = low
        self._end = high
        self._ended = False
        self._lock = threading.Lock()
        self._offer: threading.Event | None = None
        """Set when it is known whether others take what was cut off for them."""
        self.tail: asyncio.Task[None] | None = None
        """Stores and sends large answers; later answers go behind it."""
        self.given_back: asyncio.Task[None] | None = None
        """Queues what was cut off; the message is not settled before."""
        self.started_at = 0.0
        """When (monotonic seconds) the input that runs was started; 0 while none runs."""
        self.over = False
        """The body is done with it."""
        self.returned = False
        """Given back whole, before any of it was started: nothing of it is ours to settle."""
        self.suspect = False
        """It was handed out before, or has lost workers: it may be what took them, or their hosts, down."""
        self.lost = 0
        """How often it was lost while it ran, as far as is known."""
        self.noted = False
        """That it was started is noted on the bus."""
        self.cancelled = False
        """Nobody wants its outcome any more."""
        self.outlet: Outlet | None = None
        """Where a generator's items go."""
        self.control: Channel | None = None
        """Where a generator's consumer grants credit and says that it leaves."""

    @property
    def durable(self) -> bool:
        """Its outcome is stored, not sent."""
        return self.kind is Kind.JOB and not self.call.reply

    @property
    def refers(self) -> bool:
        """It holds large arguments, which are given up with it."""
        return self.durable and self.wire.payload.blob is not None

    @property
    def inputs(self) -> int:
        """Inputs that are still ours."""
        return self._end - self.begin

    @property
    def remaining(self) -> int:
        """Inputs that were not started."""
        return self._end - self._next

    @property
    def running(self) -> bool:
        """An input was started, and has not ended."""
        return self.started_at > 0

    def work(self, mean: float, now: float) -> float:
        """Seconds that it will still take, when an input takes ``mean`` seconds.

        One that takes longer is expected to go on for as long as it has gone on beyond them.
        """
        started = self.started_at  # once: the main thread ends it at any time
        running = abs(started + mean - now) if started else 0.0
        return self.remaining * mean + running

    def decoded(self) -> None:
        """Its arguments were taken out of it: let go of the bytes of large ones, while the body runs."""
        if self.wire.payload.blob is not None:
            self.call = self.call.copy(payload=replace(self.call.payload, body=b"", end=b""))

    def take(self, most: int) -> range:
        """Start up to ``most`` further inputs; offsets into the chunk, empty at the end.

        While it is not known whether others take the rest, it waits: the rest may come back.
        """
        while True:
            with self._lock:
                first = self._next
                self._next = min(self._end, first + most)
                offer = self._offer if first == self._next else None
                if offer is None:
                    self._ended = first == self._next
                    return range(first, self._next)
            offer.wait()

    def add_ready(self, offset: int, payload: Payload) -> None:
        """One of several calls has its result, which leaves with those of others, or when one of them takes long."""
        with self._lock:
            self._ready.append((offset, payload))

    def take_ready(self) -> list[Result]:
        """Results that have not left."""
        with self._lock:
            ready, self._ready = self._ready, []
            return ready

    @property
    def unsettled(self) -> bool:
        """Inputs wait in it, or results."""
        return self.remaining > 0 or bool(self._ready)

    def cut(self, keep: int = 0, *, offered: bool = False) -> tuple[int, int] | None:
        """Give away the inputs that were not started, but for ``keep``; their offsets, or None when there are none.

        Those that are ``offered`` may come back, until it is `decided`.
        """
        with self._lock:
            first = self._next + keep
            if first >= self._end:
                return None
            rest = (first, self._end)
            self._end = first
            if offered:
                self._offer = self._offer or threading.Event()
            return rest

    def decided(self) -> None:
        """What was offered was taken by others, or came back. Idempotent."""
        with self._lock:
            offer, self._offer = self._offer, None
        if offer is not None:
            offer.set()

    def restore(self, rest: tuple[int, int]) -> bool:
        """Take back what was cut off; False when it is too late, because the end was reached."""
        with self._lock:
            if self._ended or self._end != rest[0]:
                return False
            self._end = rest[1]
            return True
