"""What workers print, line by line onto the bus. Reading stops while the bus is slow, so a storm of lines slows its own
worker and nobody else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from busfn.bus.base import Bus
from busfn.errors import Error

MOST_READ = 64 * 1024


Echo = Callable[[str, str], None]
"""Called with a function's name and one line that a worker printed."""


def no_echo(function: str, line: str) -> None:
    """The bus is enough."""


@dataclass(frozen=True, slots=True)
class LogSink:
    """Where the output of one worker goes."""

    bus: Bus
    subject: str
    function: str
    echo: Echo

    def write(self, text: bytes) -> None:
        """Publish lines; output that cannot be sent is lost, never a reason to fail."""
        for line in text.decode(errors="replace").splitlines():
            self.echo(self.function, line)
        try:
            self.bus.publish(self.subject, text)
        except Error:
            return


async def pump(fd: int, sink: LogSink) -> None:
    """Pass on what arrives on a pipe until its writers are gone; the pipe is closed then."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MOST_READ)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb"))
    rest = b""
    try:
        while data := await reader.read(MOST_READ):
            rest += data
            lines, newline, rest = rest.rpartition(b"\n")
            if newline:
                sink.write(lines + newline)
                await sink.bus.writable()
            elif len(rest) > MOST_READ:
                sink.write(rest)
                rest = b""
        if rest:
            sink.write(rest)
    finally:
        transport.close()
