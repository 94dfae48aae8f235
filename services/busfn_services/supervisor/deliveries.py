"""What the server hands to a worker, so that nothing is left between its socket and its in-flight table when it dies.

The server would wait for the lease of such a message, for nobody tells it that the reader is gone. The supervisor sees
a copy of every delivery, and the worker notes in its table up to which one it has dealt with them.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Container, Mapping, Sequence
from functools import partial

from busfn.bus.base import Bus, ConsumerSpec, Message, Subscription, Verdict
from busfn.bus.pull import Origin
from busfn.errors import Error, ProtocolError
from busfn_services.flight import Kind

logger = logging.getLogger("busfn.supervisor")

MOST_UNREAD = 256
"""Deliveries of a kind that are remembered; a worker asks for fewer at a time."""


class Deliveries:
    """Sees the deliveries of one worker."""

    def __init__(self, bus: Bus, inbox: str, consumers: Sequence[ConsumerSpec]) -> None:
        """``consumers`` are those of the worker's function, see `busfn.streams.consumers`."""
        self._bus = bus
        self.inbox = inbox
        self._origins: dict[Kind, Origin] = dict(zip((Kind.OVERFLOW, Kind.JOB), map(Origin, consumers), strict=True))
        self._recent = {kind: deque[tuple[int, str]](maxlen=MOST_UNREAD) for kind in self._origins}
        self._subscriptions: list[Subscription] = []
        self._reader_is_gone = False

    async def watch(self) -> None:
        """Begin, before the worker asks for anything."""
        try:
            for kind in self._recent:
                subject = f"{self.inbox}.{kind.value}.*"
                self._subscriptions.append(await self._bus.subscribe(subject, partial(self._on_message, kind)))
        except Error as error:
            logger.info("should a worker die, what it did not read is left to its lease: %s", error)

    async def leave(self) -> None:
        """The worker asks for nothing more. The server keeps requests open as long as anybody listens for answers, so
        this comes before the worker stops listening. Idempotent."""
        while self._subscriptions:
            await self._subscriptions.pop().leave()

    async def hand_back(self, taken: Mapping[Kind, int], held: Container[str]) -> None:
        """The worker is gone: let others have what it did not come to read.

        ``taken`` has the order of the last delivery of each kind that it has dealt with, ``held`` the tokens of those
        that its in-flight table shows. While the bus is away this is left to the leases.
        """
        if not self._subscriptions:
            return
        try:
            await self._bus.flush()
            self._reader_is_gone = True
            for kind, deliveries in self._recent.items():
                for order, token in deliveries:
                    if order > taken[kind] and token not in held:
                        self._refuse(token)
            await self.leave()
        except Error as error:
            logger.info("what a lost worker did not read is left to its lease: %s", error)

    def _on_message(self, kind: Kind, message: Message) -> None:
        if message.status:
            return
        try:
            place = self._origins[kind].place(message.subject, message.reply)
        except ProtocolError as error:
            logger.debug("left alone: %s", error)
            return
        if self._reader_is_gone:
            self._refuse(message.reply)
        else:
            self._recent[kind].append((place.order, message.reply))

    def _refuse(self, token: str) -> None:
        self._bus.queues.settle(token, Verdict.NAK)
