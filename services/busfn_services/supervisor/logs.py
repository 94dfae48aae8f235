"""What workers print, line by line onto the bus. Reading stops while the bus is slow, so a storm of lines slows its own
worker and nobody else."""

from __future__ import annotations

import asyncio
import os

from busfn.bus.base import Bus
from busfn.errors import Error

MOST_READ = 64 * 1024


async def pump(fd: int, bus: Bus, subject: str) -> None:
    """Publish what arrives on a pipe until its writers are gone; the pipe is closed then."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MOST_READ)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb"))
    rest = b""
    try:
        while data := await reader.read(MOST_READ):
            rest += data
            lines, newline, rest = rest.rpartition(b"\n")
            if newline:
                publish_log(bus, subject, lines + newline)
                await bus.writable()
            elif len(rest) > MOST_READ:
                publish_log(bus, subject, rest)
                rest = b""
        if rest:
            publish_log(bus, subject, rest)
    finally:
        transport.close()


def publish_log(bus: Bus, subject: str, text: bytes) -> None:
    """Send lines; output that cannot be sent is lost, never a reason to fail."""
    try:
        bus.publish(subject, text)
    except Error:
        return
