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
from busfn.protocol import headers
from busfn.protocol.subjects import Subjects
from busfn_services.marks import MarkedOutput, Piece

MOST_READ = 64 * 1024
"""Bytes that are read, and so published, at once."""
GATHER = 0.005
"""Seconds after a read in which lines gather in the pipe: one message for many, and a bound for what one pipe sends."""
MOST_AHEAD = 1024 * 1024
"""Bytes of one pipe that are published before the server has to catch up."""

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
        if self.echo is not None:
            for line in piece.text.decode(errors="replace").splitlines():
                self.echo(self.function, line)
        facts = {
            headers.WORKER: self.worker,
            headers.INDEX: str(piece.owner.index),
            headers.OUTPUT: self.stream,
            headers.TIME: str(int(time.time() * 1000)),
        }
        if piece.owner.answered:
            facts[headers.ANSWERED] = "1"
        with suppress(Error):
            self.bus.publish(self.subjects.log(self.app, self.function, piece.owner.call), piece.text, facts)

    async def catch_up(self) -> None:
        """Wait until the server has read all that was published."""
        with suppress(Error):  # the connection is away: `Bus.writable` waits for it
            await self.bus.flush()


async def pump(fd: int, sink: LogSink, output: MarkedOutput) -> None:
    """Pass on what arrives on a pipe until its writers are gone; the pipe is closed then."""
    os.set_blocking(fd, False)
    ahead = 0
    try:
        async for _ in turns(partial(_readable, fd)):
            data = _read(fd)
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


async def _readable(fd: int) -> None:
    """Until there is something in the pipe, or the end."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(fd, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(fd)
