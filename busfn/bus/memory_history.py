"""Reading what a stream in memory keeps: the counterpart of `busfn.bus.history`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from busfn.bus.patterns import matches
from busfn.bus.stores import Bounds, Stored
from busfn.errors import NotFoundError

if TYPE_CHECKING:
    from busfn.bus.memory import MemoryBroker
    from busfn.bus.memory_stream import MemoryStream


class MemoryHistory:
    """Stored messages; see `busfn.bus.base.History`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def bounds(self, stream: str) -> Bounds:
        found = self._stream(stream)
        return Bounds(min(found.messages, default=found.last + 1), found.last)

    async def read(self, stream: str, subject: str, *, sequence: int, count: int) -> Sequence[Stored]:
        return list(islice((each for each in self._matching(stream, subject) if each.sequence >= sequence), count))

    async def first_since(self, stream: str, subject: str, moment: float) -> int | None:
        return next((each.sequence for each in self._matching(stream, subject) if each.time >= moment), None)

    def _matching(self, stream: str, subject: str) -> Iterator[Stored]:
        for sequence, stored in self._stream(stream).messages.items():
            message = stored.message
            if matches(subject, message.subject):
                yield Stored(message.subject, message.headers, message.body, sequence, stored.time)

    def _stream(self, name: str) -> MemoryStream:
        found = self._broker.streams.get(name)
        if found is None:
            raise NotFoundError(f"there is no stream {name}")
        found.sweep()
        return found
