"""`map`: the caller's thread pulls inputs and takes results; the loop thread sends, listens and resends.

The consumer side (`Mapping`) never touches the bus, the bus side (`Carrier`) never touches user data: a `Mailbox` and
`LoopThread.call` are all that lies between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from busfn.errors import Error, ProtocolError
from busfn.invoke.carrier import Carrier, Recheck
from busfn.invoke.link import Link, open_failure
from busfn.invoke.mailbox import Mailbox
from busfn.invoke.payloads import elements
from busfn.invoke.progress import Progress
from busfn.invoke.window import Block, Outbound, Window
from busfn.protocol.chunks import ChunkWriter, FrozenRow, Row
from busfn.protocol.codecs import Unreadable
from busfn.protocol.codecs.msgpack import SCALARS
from busfn.protocol.envelope import Answer, Call, Status, call_scope
from busfn.protocol.names import Target

PULL_TIME = 0.020
"""Seconds spent on pulling inputs for one message before it is sent as it is."""


class Exhausted:
    """The input iterator is at its end."""


Event = Answer | Recheck | BaseException | Exhausted


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOptions:
    """How a map treats its results."""

    kwargs: dict[str, Any]
    ordered: bool = True
    return_exceptions: bool = False
    uniform: bool = True
    """Rows have one length (they come from zip), so they may travel as columns."""
    chunked: bool = True
    """Several short inputs may share a message."""
    total: int | None = None
    """How many inputs there are, when that is known."""


class Mapping:
    """One map from its consumer's side. Iterate it once, from a thread or from a coroutine."""

    def __init__(self, link: Link, target: Target, call: Call, options: MapOptions) -> None:
        self._link = link
        self._target = target
        self._call = call
        self._options = options
        self._writer = ChunkWriter(link.codecs, options.kwargs, uniform=options.uniform)
        self._window = Window(ordered=options.ordered, chunked=options.chunked, total=options.total)
        self._mailbox: Mailbox[Event] = Mailbox(link.portal)
        self._carrier = Carrier(link, target, self._mailbox.put)
        self._exhausted = False
        self._done = 0

    def iterate(self, rows: Iterator[Row]) -> Iterator[Any]:
        """Results for a thread, which also pulls the inputs: whatever is ready is yielded before more is pulled."""
        self._link.portal.call(self._carrier.begin)
        try:
            while not (self._exhausted and self._window.idle):
                if (block := self._window.take()) is not None:
                    yield from self._results(block)
                elif (event := self._mailbox.poll()) is not None:
                    self._handle(event)
                elif not self._exhausted and (size := self._window.size()):
                    self._send(pull(rows, size, self._writer))
                else:
                    self._handle(self._next())
        finally:
            self._end()

    async def aiterate(self, rows: AsyncIterator[Row]) -> AsyncIterator[Any]:
        """Results for a coroutine, while a task of the same loop pulls the inputs."""
        self._link.portal.call(self._carrier.begin)
        room = asyncio.Event()
        feeder = asyncio.create_task(self._feed(rows, room))
        try:
            while not (self._exhausted and self._window.idle):
                if (block := self._window.take()) is not None:
                    for value in self._results(block):
                        yield value
                else:
                    with self._link.nesting:
                        event = await self._mailbox.aget()
                    self._handle(event)
                room.set()
        finally:
            feeder.cancel()
            self._end()

    def _next(self) -> Event:
        with self._link.nesting:
            return self._mailbox.get()

    async def _feed(self, rows: AsyncIterator[Row], room: asyncio.Event) -> None:
        """Send rows as they come; a message that does not fill up leaves after `PULL_TIME`."""
        loop = asyncio.get_running_loop()
        batch: list[FrozenRow] = []

        def flush() -> None:
            try:
                if batch:
                    self._ship(batch)
                batch.clear()
            except Exception as error:  # encoding a user's value runs its own code
                self._mailbox.put(error)

        try:
            async for row in rows:
                batch.append(self._writer.freeze(row))
                if len(batch) >= self._window.size():
                    flush()
                elif len(batch) == 1:
                    loop.call_later(PULL_TIME, flush)
                while not self._window.size():
                    room.clear()
                    await room.wait()
            flush()
            self._mailbox.put(Exhausted())
        except Exception as error:
            self._mailbox.put(error)

    def _send(self, pulled: Pulled) -> None:
        if pulled:
            self._ship(pulled)
        self._exhausted = pulled.ended

    def _ship(self, rows: list[FrozenRow]) -> None:
        out = self._window.send(len(rows))
        scope = call_scope(self._target.app, self._target.function, self._call.call, out.first)
        payload = self._writer.chunk(rows, scope)
        self._window.weigh(out.count, payload.size)
        call = self._call.copy(index=out.first, count=out.count, payload=payload)
        self._link.portal.call(self._carrier.send, call)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Answer):
            self._take(event)
        elif isinstance(event, Recheck):
            self._resend(event)
        elif isinstance(event, Exhausted):
            self._exhausted = True
        else:
            raise event

    def _take(self, answer: Answer) -> None:
        if answer.took:
            self._window.ran(answer.worker, answer.took)
        out = self._window.outbound(answer.index)
        if out is None or answer.index + answer.count > out.first + out.count:
            return  # it was answered before, or this is no answer to what was sent
        for block in self._open(answer):
            if self._window.receive(block):
                self._link.portal.call(self._carrier.complete, out.first)

    def _open(self, answer: Answer) -> list[Block]:
        count = max(1, answer.count)
        if answer.status is not Status.OK:
            failure = open_failure(self._link.codecs, answer)
            return [Block(answer.index, [failure] * count, failure)]
        codecs, scope = self._link.codecs, answer.scope()
        try:
            if not answer.count:
                return [Block(answer.index, [codecs.decode(answer.payload, scope=scope)])]
            values = elements(codecs.decode_list(answer.payload, scope=scope), count)
        except Error as error:
            return [Block(answer.index, [error] * count, error)]
        if values is None:
            raise ProtocolError(f"an answer announces {count} results and holds something else")
        return blocks_of(answer.index, values)

    def _results(self, block: Block) -> Iterator[Any]:
        self._done += block.count
        self._report()
        failure = block.failure
        if failure is not None and not (self._options.return_exceptions and isinstance(failure, Exception)):
            raise failure
        yield from block.values

    def _end(self) -> None:
        self._link.portal.call(self._carrier.end)
        self._report(over=True)

    def _report(self, *, over: bool = False) -> None:
        total = self._window.sent if self._exhausted else self._options.total
        self._link.watch(Progress(self._call.call, self._target.function, self._done, total, over))

    def _resend(self, event: Recheck) -> None:
        out: Outbound | None = self._window.outbound(event.first)
        if out is None:
            return
        for first, count in out.unanswered():
            select = (first - out.first, first - out.first + count)
            self._link.portal.call(partial(self._carrier.resend, out.first, select))


def blocks_of(first: int, values: list[object]) -> list[Block]:
    """Results that came together: those that cannot be decoded are failures, each of its input."""
    if Unreadable not in map(type, values):
        return [Block(first, values)]
    blocks: list[Block] = []
    for index, value in enumerate(values, first):
        error = value.error if isinstance(value, Unreadable) else None
        blocks.append(Block(index, [error or value], error))
    return blocks


class Pulled(list[FrozenRow]):
    """Rows for one message, and whether the iterator ended."""

    ended = False


def pull(rows: Iterator[Row], size: int, writer: ChunkWriter) -> Pulled:
    """Up to ``size`` rows, as they are when they are pulled; fewer when that takes longer than `PULL_TIME`."""
    pulled, scalars, now = Pulled(), SCALARS, time.monotonic
    until = now() + PULL_TIME
    for row in islice(rows, size):
        for value in row:
            if type(value) not in scalars:
                pulled.append(writer.freeze(row))
                break
        else:
            pulled.append(row)
        if now() > until:
            return pulled
    pulled.ended = len(pulled) < size
    return pulled
