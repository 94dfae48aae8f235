"""Reading what the bodies of an app have printed, and what they print."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from busfn.bus.base import Bus
from busfn.bus.stores import Stored
from busfn.errors import ProtocolError
from busfn.invoke.moments import stored_at
from busfn.printable import text_lines
from busfn.protocol import headers
from busfn.protocol.subjects import Subjects

FIRST_WINDOW = 256
"""Stored messages that are looked at first when the last lines are wanted; each further look is at more."""
GROWTH = 8
PAGE = 256
SKEW = 60.0
"""Seconds that the clocks of hosts and servers may differ."""
LOOK_AGAIN = 1.0
"""Seconds after which a follower looks again, though nothing was announced."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that was printed."""

    time: float
    """Unix seconds when its host read it, by the host's clock."""
    app: str
    function: str
    call: str
    """``-`` when no input was running."""
    index: int
    worker: str
    stream: str
    """``out`` or ``err``."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which lines are wanted."""

    app: str
    function: str = ""
    call: str = ""
    """The last part of a call's id."""
    worker: str = ""
    since: float | None = None
    """Unix seconds; lines from then on."""
    until: float | None = None

    def accepts(self, line: LogLine) -> bool:
        """Whether a line is wanted."""
        return (
            line.app == self.app
            and self.function in ("", line.function)
            and self.call in ("", line.call)
            and self.worker in ("", line.worker)
            and (self.since is None or line.time >= self.since)
            and (self.until is None or line.time <= self.until)
        )


class LogReader:
    """Reads the logs of an environment; loop thread only.

    All raise `NotFoundError` while the environment keeps no logs, which is until its first app was started.
    """

    def __init__(self, bus: Bus, subjects: Subjects) -> None:
        self._bus = bus
        self._subjects = subjects
        self._stream = subjects.stream("LOGS")

    async def read(self, wanted: LogFilter) -> AsyncIterator[LogLine]:
        """All lines that are stored now, in order."""
        bounds = await self._bus.history.bounds(self._stream)
        subject = await self._subject(wanted)
        async for page in self._pages(subject, await self._first(wanted, subject), bounds.last):
            for line in self._lines(page, wanted):
                yield line
            if wanted.until is not None and page[-1].time > wanted.until + SKEW:
                return

    async def tail(self, wanted: LogFilter, count: int) -> Sequence[LogLine]:
        """The last ``count`` lines that are stored now, in order; as little as possible is read."""
        bounds = await self._bus.history.bounds(self._stream)
        return await self._tail(wanted, count, bounds.last)

    async def follow(self, wanted: LogFilter, count: int | None) -> AsyncIterator[LogLine]:
        """The last ``count`` lines, or all with None, and then every line that is printed; never ends by itself.

        Lines are always read from the stream, by sequence, and announcements only say when: nothing is missed and
        nothing comes twice, also when the connection was lost in between.
        """
        stirred = asyncio.Event()
        announcements = await self._bus.subscribe(
            self._subjects.stored_logs(wanted.app), lambda _message: stirred.set()
        )
        try:
            last = (await self._bus.history.bounds(self._stream)).last
            if count is None:
                after = await self._first(wanted, await self._subject(wanted))
            else:
                after = last + 1
                for line in await self._tail(wanted, count, last):
                    yield line
            async for line in self._from(after, wanted, stirred):
                yield line
        finally:
            await announcements.leave()

    async def _from(self, sequence: int, wanted: LogFilter, stirred: asyncio.Event) -> AsyncIterator[LogLine]:
        subject = await self._subject(wanted)
        while True:  # ends: when the caller has enough
            stirred.clear()
            async for page in self._pages(subject, sequence, None):
                sequence = page[-1].sequence + 1
                for line in self._lines(page, wanted):
                    yield line
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    await stirred.wait()

    async def _tail(self, wanted: LogFilter, count: int, last: int) -> list[LogLine]:
        """Looks back from the end, in windows that grow."""
        subject = await self._subject(wanted)
        first, window = await self._first(wanted, subject), FIRST_WINDOW
        found: list[LogLine] = []
        while last >= first and len(found) < count:
            begin = max(first, last - window + 1)
            lines: deque[LogLine] = deque(maxlen=count - len(found))
            async for page in self._pages(subject, begin, last):
                lines.extend(self._lines(page, wanted))
            found = [*lines, *found]
            last, window = begin - 1, window * GROWTH
        return found

    async def _pages(self, subject: str, sequence: int, last: int | None) -> AsyncIterator[Sequence[Stored]]:
        """Stored messages up to a sequence; without one, as many as there are."""
        while last is None or sequence <= last:
            found = await self._bus.history.read(self._stream, subject, sequence=sequence, count=PAGE)
            page = [stored for stored in found if last is None or stored.sequence <= last]
            if page:
                yield page
            if not found or len(page) < len(found):
                return
            sequence = found[-1].sequence + 1

    async def _first(self, wanted: LogFilter, subject: str) -> int:
        """Where to begin."""
        bounds = await self._bus.history.bounds(self._stream)
        if wanted.since is None:
            return bounds.first
        found = await self._bus.history.first_since(self._stream, subject, wanted.since - SKEW)
        return bounds.last + 1 if found is None else found

    async def _subject(self, wanted: LogFilter) -> str:
        """The narrowest subject that holds what is wanted."""
        if wanted.function:
            return self._subjects.log(wanted.app, wanted.function, wanted.call or "*")
        if not wanted.call:
            return self._subjects.logs(wanted.app)
        for function in ("*", "*.*"):
            pattern = self._subjects.log(wanted.app, function, wanted.call)
            found = await self._bus.queues.subjects(self._stream, pattern)
            if len(found) == 1:
                return found[0]
        return self._subjects.logs(wanted.app)

    def _lines(self, page: Sequence[Stored], wanted: LogFilter) -> Iterator[LogLine]:
        for stored in page:
            with suppress(ProtocolError):  # whoever may publish has stored it, under names that are none
                yield from filter(wanted.accepts, lines_of(stored, self._subjects))


def lines_of(stored: Stored, subjects: Subjects) -> Iterator[LogLine]:
    """The lines of a stored message; whoever may publish may have written anything into its headers.

    Raises `ProtocolError` when its subject is none of ours.
    """
    address = subjects.parse(stored.subject)
    given = stored.headers
    index = given.get(headers.INDEX, "")
    for text in text_lines(stored.body):
        yield LogLine(
            time=stored_at(given) or stored.time,
            app=address.app,
            function=address.function,
            call=address.rest[0],
            index=int(index) if _is_number(index) else 0,
            worker=given.get(headers.WORKER, ""),
            stream=given.get(headers.OUTPUT, "out"),
            text=text,
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
