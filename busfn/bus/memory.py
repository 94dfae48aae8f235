"""A bus in memory with the semantics of the real one, for unit tests without a server.

::

    broker = MemoryBroker()
    async with MemoryBus(broker) as bus: ...

All buses of a broker live on one event loop. What is sent travels through one queue, so the order is that of NATS:
messages of one sender arrive in order, and a `flush` comes back behind everything that was sent before.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from busfn.bus.base import NO_HEADERS, Handler, Headers, Message
from busfn.bus.frames import check_pattern, encode_headers, publish_frame
from busfn.bus.memory_history import MemoryHistory
from busfn.bus.memory_queues import MemoryQueues
from busfn.bus.memory_store import MemoryBlobs, MemoryTable, Shelf
from busfn.bus.memory_stream import MemoryMessage, MemoryStream
from busfn.bus.patterns import matches
from busfn.errors import ClientClosed, ConnectionError, NoResponders, RequestSizeError

T = TypeVar("T")

log = logging.getLogger("busfn.bus")

MAX_PAYLOAD = 1 << 20
HEADER_ROOM = 4096


@dataclass(eq=False, slots=True)
class _Interest:
    subject: str
    queue: str
    handler: Handler
    ended: bool = False


class MemoryBroker:
    """What the buses share: who listens, what is stored, what is on its way."""

    def __init__(self) -> None:
        self._events: deque[Callable[[], object]] = deque()
        self._scheduled = False
        self._interests: list[_Interest] = []
        self.numbers = itertools.count(1)
        self.streams: dict[str, MemoryStream] = {}
        self.shelf = Shelf()

    def post(self, event: Callable[[], object]) -> None:
        """Let something happen, after all that was posted before."""
        self._events.append(event)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        for _ in range(len(self._events)):
            event = self._events.popleft()
            try:
                event()
            except Exception:
                log.exception("a handler failed")
        if self._events and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def listen(self, subject: str, queue: str, handler: Handler) -> _Interest:
        """Register a handler for a subject."""
        interest = _Interest(subject, queue, handler)
        self._interests.append(interest)
        return interest

    def ignore(self, interest: _Interest) -> None:
        """Send a handler no more; what is on its way still arrives. Idempotent."""
        if interest in self._interests:
            self._interests.remove(interest)

    def route(self, message: MemoryMessage) -> None:
        """Hand a message to every listener, to one of each queue group, and to the stream that keeps its subject."""
        found = [interest for interest in self._interests if matches(interest.subject, message.subject)]
        groups: dict[str, list[_Interest]] = {}
        for interest in found:
            groups.setdefault(interest.queue, []).append(interest)
        chosen = groups.pop("", [])
        chosen += [random.choice(members) for members in groups.values()]
        for interest in chosen:
            self._deliver(interest, message)
        stream = self.stream_of(message.subject)
        if stream is not None:
            stream.accept(message)
        if message.reply and not found and stream is None:
            self.route(MemoryMessage(message.reply, "", b"", {"Status": "503"}))

    def _deliver(self, interest: _Interest, message: MemoryMessage) -> None:
        def event() -> None:
            if not interest.ended:
                interest.handler(message)

        self.post(event)

    def stream_of(self, subject: str) -> MemoryStream | None:
        """The stream that keeps this subject."""
        for stream in self.streams.values():
            if any(matches(pattern, subject) for pattern in stream.spec.subjects):
                return stream
        return None


class MemorySubscription:
    """Interest in a subject; see `busfn.bus.base.Subscription`."""

    def __init__(self, bus: MemoryBus, interest: _Interest) -> None:
        self._bus = bus
        self._interest = interest

    async def leave(self) -> None:
        """Stop receiving; on return all that was sent before was handled. Idempotent."""
        if not self._bus.closed:
            self._bus.broker.post(lambda: self._bus.broker.ignore(self._interest))
            await self._bus.flush()


class MemoryChannel:
    """A private reply address; see `busfn.bus.base.Channel`."""

    def __init__(self, slots: dict[str, Handler], subject: str) -> None:
        self._slots = slots
        self.subject = subject

    def close(self) -> None:
        """Drop whatever still arrives."""
        self._slots.pop(self.subject, None)


class MemoryBus:
    """One user of a broker; see `busfn.bus.base.Bus`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.closed = False
        self._inbox = f"_INBOX.{next(broker.numbers)}"
        self._slots: dict[str, Handler] = {}
        self._subscriptions = [broker.listen(f"{self._inbox}.*", "", self._answered)]
        self._waiting: set[asyncio.Future[Message]] = set()
        self.queues = MemoryQueues(self, broker)
        self.blobs = MemoryBlobs(broker.shelf)
        self.history = MemoryHistory(broker)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def max_body(self) -> int:
        return MAX_PAYLOAD - HEADER_ROOM

    @property
    def connected(self) -> bool:
        return not self.closed

    def table(self, name: str) -> MemoryTable:
        """The key-value bucket ``name``."""
        return MemoryTable(self.broker.shelf, name)

    def check_open(self) -> None:
        """Raise `ClientClosed` after close."""
        if self.closed:
            raise ClientClosed("the bus is closed")

    def publish(self, subject: str, body: bytes = b"", headers: Headers = NO_HEADERS, reply: str = "") -> None:
        self.check_open()
        block = encode_headers(headers) if headers else b""
        if len(block) + len(body) > MAX_PAYLOAD:
            raise RequestSizeError(f"a message of {len(block) + len(body)} bytes: the bus takes {MAX_PAYLOAD}")
        publish_frame(subject, reply, block, b"")  # for its checks
        message = MemoryMessage(subject, reply, body, dict(headers))
        self.broker.post(lambda: self.broker.route(message))

    async def flush(self, timeout: float = 10.0) -> None:
        self.check_open()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.broker.post(lambda: self.broker.post(lambda: _answer(done, None)))
        async with asyncio.timeout(timeout):
            await done

    def write_out(self) -> None:
        """Nothing waits here."""

    async def writable(self) -> None:
        await asyncio.sleep(0)

    async def subscribe(self, subject: str, handler: Handler, *, queue: str = "") -> MemorySubscription:
        self.check_open()
        check_pattern(subject, queue)
        interest = self.broker.listen(subject, queue, handler)
        self._subscriptions.append(interest)
        return MemorySubscription(self, interest)

    def channel(self, handler: Handler) -> MemoryChannel:
        subject = f"{self._inbox}.{next(self.broker.numbers)}"
        self._slots[subject] = handler
        return MemoryChannel(self._slots, subject)

    def _answered(self, message: Message) -> None:
        handler = self._slots.get(message.subject)
        if handler is not None:
            handler(message)

    async def request(
        self, subject: str, body: bytes = b"", headers: Headers = NO_HEADERS, *, timeout: float = 5.0
    ) -> Message:
        self.check_open()
        answered: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        channel = self.channel(lambda message: _answer(answered, message))
        self._waiting.add(answered)
        try:
            self.publish(subject, body, headers, channel.subject)
            async with asyncio.timeout(timeout):
                answer = await answered
        except TimeoutError as error:
            raise ConnectionError(f"no answer from {subject} within {timeout:g} s") from error
        finally:
            self._waiting.discard(answered)
            channel.close()
        if answer.status == "503":
            raise NoResponders(f"nobody serves {subject}")
        return answer

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """There is nothing to lose a connection to."""

    def abandon(self) -> None:
        """It is a copy in the child."""

    async def close(self) -> None:
        if self.closed:
            return
        await self.queues.stop_pulls()
        await self.flush()
        self.closed = True
        for interest in self._subscriptions:
            self.broker.ignore(interest)
            interest.ended = True
        for answered in self._waiting:
            if not answered.done():
                answered.set_exception(ClientClosed("the bus was closed while this request waited"))


def _answer(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)
