"""What workers print, by the call that printed it, onto the bus. Reading stops while the bus is slow, so a storm of
lines slows its own worker and nobody else."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from busfn.bus.base import Bus
from busfn.concurrency.loops import isolated, turns
from busfn.errors import Error
from busfn.printable import final_lines, text_lines
from busfn.protocol import headers
from busfn.protocol.subjects import Subjects
from busfn_services.marks import MarkedOutput, Owner, Piece

MOST_READ = 64 * 1024
"""Bytes that are read, and so published, at once."""
GATHER = 0.005
"""Seconds after a read in which lines gather in the pipe: one message for many, and a bound for what one pipe sends."""
MOST_AHEAD = 1024 * 1024
"""Bytes of one pipe that are published before the server has to catch up."""

DRAW_EVERY = 0.1
"""Seconds between two states of a line that is drawn again and again."""

Echo = Callable[[str, str], None]
"""Called with a function's name and one line that a worker printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSink:
    """Where the output of one worker goes."""

    bus: Bus
    subjects: Subjects
    app: str
    function: str
    worker: str
    stream: str
    """``out`` or ``err``."""
    echo: Echo | None = None

    def write(self, piece: Piece) -> None:
        """Publish what one call printed; output that cannot be sent is lost, never a reason to fail."""
        text = final_lines(piece.text)
        if not text:
            return
        if self.echo is not None:
            for line in text_lines(text):
                self.echo(self.function, line)
        self._publish(self.subjects.log(self.app, self.function, piece.owner.call), piece.owner, text)

    def draw(self, piece: Piece) -> None:
        """Publish how a line looks now that is drawn again and again; its final state will be written."""
        state = final_lines(piece.text)
        if state:
            self._publish(self.subjects.state(self.app, self.function, piece.owner.call), piece.owner, state)

    def _publish(self, subject: str, owner: Owner, text: bytes) -> None:
        facts = {
            headers.WORKER: self.worker,
            headers.INDEX: str(owner.index),
            headers.OUTPUT: self.stream,
            headers.TIME: str(int(time.time() * 1000)),
        }
        if owner.answered:
            facts[headers.ANSWERED] = "1"
        with suppress(Error):
            self.bus.publish(subject, text, facts)

    async def catch_up(self) -> None:
        """Wait until the server has read all that was published."""
        with suppress(Error):  # the connection is away: `Bus.writable` waits for it
            await self.bus.flush()


async def pump(fd: int, sink: LogSink, output: MarkedOutput) -> None:
    """Pass on what arrives on a pipe until its writers are gone; the pipe is closed then."""
    os.set_blocking(fd, False)
    ahead, states = 0, States(sink, output)
    try:
        async for _ in turns(partial(_readable, fd, states)):
            data = _read(fd)
            states.draw()
            if data is None:
                continue
            if not data:
                return
            _write(sink, output.feed(data))
            await sink.bus.writable()
            ahead += len(data)
            if ahead > MOST_AHEAD:
                await sink.catch_up()
                ahead = 0
            await asyncio.sleep(GATHER)
    finally:
        _write(sink, output.end())
        os.close(fd)


class States:
    """Draws the line that a pipe ends with, when it is drawn again and again, a few times a second."""

    def __init__(self, sink: LogSink, output: MarkedOutput) -> None:
        self._sink = sink
        self._output = output
        self._last: Piece | None = None
        self._due = 0.0

    @property
    def wait(self) -> float | None:
        """Seconds until a state has to be drawn, if nothing else comes; None when there is none."""
        state = self._output.redrawn
        return None if state is None or state == self._last else max(0.0, self._due - time.monotonic())

    def draw(self) -> None:
        """Draw what is due."""
        if self.wait == 0:
            self._last, self._due = self._output.redrawn, time.monotonic() + DRAW_EVERY
            if self._last is not None:
                self._sink.draw(self._last)


def _write(sink: LogSink, pieces: list[Piece]) -> None:
    for piece in pieces:
        with isolated(f"output of worker {sink.worker}"):
            sink.write(piece)


def _read(fd: int) -> bytes | None:
    """What is in the pipe; empty at the end, None while there is nothing."""
    try:
        return os.read(fd, MOST_READ)
    except BlockingIOError:
        return None


async def _readable(fd: int, states: States) -> None:
    """Until there is something in the pipe, or the end, or a state to draw."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(fd, readable.set)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(states.wait):
                await readable.wait()
    finally:
        loop.remove_reader(fd)
