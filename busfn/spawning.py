"""`spawn_map`: a durable call with many inputs, handed over as they are made."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypedDict, TypeVar, Unpack

from busfn.binding import Binding
from busfn.call import FunctionCall
from busfn.client import Client
from busfn.errors import Error, InvalidError
from busfn.invoke.durable import CallRef
from busfn.invoke.mapper import pull
from busfn.invoke.payloads import QUEUED_TTL, SPILL, cut_end, discard, keep, spills
from busfn.maps import MapSource, arows_of, check_keywords, checked, rows_of
from busfn.protocol.chunks import ChunkWriter, FrozenRow, Row
from busfn.protocol.codecs import BlobRef, Payload
from busfn.protocol.envelope import Call, call_scope
from busfn.sync import Operation, running_loop

R = TypeVar("R")

ATOMIC_INPUTS = 1000
"""Up to so many inputs are accepted all or none; of more, each message for itself."""
MESSAGE_INPUTS = 64
"""Inputs in one message; a worker gives the rest back when they turn out to be slow."""
AHEAD = 64
"""Messages on their way to the queue at a time."""


class SpawnMapKeywords(TypedDict, total=False):
    """What `spawn_map` takes besides its iterators."""

    kwargs: dict[str, Any] | None
    """Keyword arguments of all inputs."""


class SpawnMapDual(Generic[R]):
    """``f.spawn_map(...)`` and ``await f.spawn_map.aio(...)``; ``max_containers`` is that of the function, if known."""

    __slots__ = ("_binding", "_max_containers", "_source")

    def __init__(self, source: MapSource, binding: Binding, max_containers: int | None) -> None:
        self._source = source
        self._binding = binding
        self._max_containers = max_containers

    def __call__(
        self, *iterators: Iterable[Any] | AsyncIterable[Any], **given: Unpack[SpawnMapKeywords]
    ) -> FunctionCall[R]:
        check_keywords(self._source.name, given, SpawnMapKeywords)
        if running_loop():
            raise InvalidError(f"`{self._source.name}(...)` would block the running event loop; await its `.aio(...)`")
        handover = _Handover(self._source, given.get("kwargs"))
        try:
            rows = rows_of(checked(self._source.name, iterators, starred=False), uniform=True)
            while pulled := pull(rows, handover.size, handover.writer):
                handover.send(pulled)
                while handover.crowded:
                    handover.oldest().wait()
            while handover.on_the_way:
                handover.oldest().wait()
            handover.finish().wait()
        except BaseException:
            handover.withdraw().wait()
            raise
        return handover.handle(self._binding, self._max_containers)

    async def aio(
        self, *iterators: Iterable[Any] | AsyncIterable[Any], **given: Unpack[SpawnMapKeywords]
    ) -> FunctionCall[R]:
        """The same without blocking the event loop; takes async iterables, too."""
        check_keywords(self._source.name, given, SpawnMapKeywords)
        handover = _Handover(self._source, given.get("kwargs"))
        try:
            rows = arows_of(checked(self._source.name, iterators, starred=False), uniform=True)
            async for batch in _batches(rows, handover.size, handover.writer):
                handover.send(batch)
                while handover.crowded:
                    await handover.oldest()
            while handover.on_the_way:
                await handover.oldest()
            await handover.finish()
        except BaseException:
            await handover.withdraw()
            raise
        return handover.handle(self._binding, self._max_containers)


class _Handover:
    """The messages of one `spawn_map` on their way to the queue."""

    def __init__(self, source: MapSource, kwargs: dict[str, Any] | None) -> None:
        self._client: Client = source.client()
        self._target = source.target
        self._call: Call = source.new_call(self._client)
        self._parent = self._client.link.nesting.current()
        self.writer = ChunkWriter(self._client.link.codecs, kwargs or {}, uniform=True)
        self._sending: deque[Operation[None]] = deque()
        self._inputs = 0
        self._end: tuple[bytes, BlobRef] | None = None
        """What all messages end with, and where it is kept."""
        self._together: list[Call] | None = []
        """The messages so far, while they may be all."""
        self._offered = False
        self.size = MESSAGE_INPUTS if source.chunked else 1

    @property
    def crowded(self) -> bool:
        return len(self._sending) >= AHEAD

    @property
    def on_the_way(self) -> bool:
        return bool(self._sending)

    def send(self, rows: Sequence[FrozenRow]) -> None:
        first, target = self._inputs, self._target
        scope = call_scope(target.app, target.function, self._call.call, first)
        payload = self._with_shared_end(self.writer.chunk(rows, scope))
        self._inputs += len(rows)
        self._send(self._call.copy(index=first, count=len(rows), payload=payload))

    def _with_shared_end(self, payload: Payload) -> Payload:
        """Large keyword arguments are the same in all messages, and at their end: they are stored once."""
        end = self.writer.kwargs
        if self._end is None and len(end) > SPILL and spills(self._client.link.bus, payload):
            work = keep(self._client.link.bus, end, QUEUED_TTL, f"{self._call.call}.end")
            self._end = end, self._client.link.portal.run(work)
        return payload if self._end is None else cut_end(payload, *self._end) or payload

    def _send(self, call: Call) -> None:
        if self._together is not None:
            self._together.append(call)
            if self._inputs <= ATOMIC_INPUTS:
                return
        calls, self._together = self._together or [call], None
        self._offered = True
        for one in calls:
            work = self._client.durable.enqueue(self._target, one)
            self._sending.append(self._client.link.portal.submit(work))

    def oldest(self) -> Operation[None]:
        return self._sending.popleft()

    def finish(self) -> Operation[None]:
        """All inputs are known: have them accepted, and their number."""
        return self._client.link.portal.submit(self._finish())

    async def _finish(self) -> None:
        durable = self._client.durable
        self._offered = True
        if self._together:
            await durable.enqueue_all(self._target, self._together)
        await durable.note_size(self._ref, self._inputs, self._call.not_before)
        await durable.note_child(self._ref, self._parent)
        if self._end is not None:  # by now each message holds it
            await discard(self._client.link.bus, Payload(content_type="", body=b"", blob=self._end[1]))

    def withdraw(self) -> Operation[None]:
        """Not all inputs were accepted: nobody gets to know the call, so none of them shall run."""
        for operation in self._sending:
            operation.cancel()
        return self._client.link.portal.submit(self._withdraw())

    async def _withdraw(self) -> None:
        if not self._offered and self._end is None:
            return
        with suppress(Error):  # what brought us here is told
            await self._client.durable.cancel(self._ref, terminate=False)

    def handle(self, binding: Binding, max_containers: int | None) -> FunctionCall[Any]:
        return FunctionCall[Any](self._ref, binding, self._inputs, max_containers)

    @property
    def _ref(self) -> CallRef:
        return CallRef(self._target, self._call.call)


async def _batches(rows: AsyncIterator[Row], size: int, writer: ChunkWriter) -> AsyncIterator[list[FrozenRow]]:
    batch: list[FrozenRow] = []
    async for row in rows:
        batch.append(writer.freeze(row))
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch
