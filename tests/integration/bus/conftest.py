"""Servers that may be hurt: one's own real ones, and a scripted one that says what no real one would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from busfn.bus.server import EmbeddedServer
from busfn.config import BusAddress

Launch = Callable[..., EmbeddedServer]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Starts servers of the test's own and stops them afterwards."""
    servers: list[EmbeddedServer] = []

    def start(**options) -> EmbeddedServer:
        server = EmbeddedServer.launch(**options)
        servers.append(server)
        return server.wait_ready()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def restartable(launch: Launch, tmp_path: Path) -> Callable[[], EmbeddedServer]:
    """Each call starts the same server again: same port, same token, same store."""
    known: list[EmbeddedServer] = []

    def start() -> EmbeddedServer:
        port = known[0].port if known else -1
        known.append(launch(store_dir=tmp_path / "store", port=port, token="again"))
        return known[-1]

    return start


class ScriptedServer:
    """A TCP server that speaks NATS just well enough: INFO, PONG, and what the test adds."""

    def __init__(self) -> None:
        self.info: dict[str, object] = {"version": "2.15.1", "max_payload": 1 << 20, "headers": True}
        self.greeting: bytes | None = None
        self.silent = False
        self.received: list[bytes] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> BusAddress:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return BusAddress(servers=(f"nats://127.0.0.1:{port}",), token="s3cret-token")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        if not self.silent:
            writer.write(self.greeting or b"INFO " + json.dumps(self.info).encode() + b"\r\n")
        while line := await reader.readline():
            self.received.append(line)
            self.arrived.set()
            if line == b"PING\r\n" and not self.silent:
                writer.write(b"PONG\r\n")
        writer.close()

    def say(self, line: bytes) -> None:
        """Send something on the newest connection."""
        self._writers[-1].write(line)

    def hang_up(self) -> None:
        """Close the newest connection."""
        self._writers[-1].close()

    async def stop(self) -> None:
        for writer in self._writers:
            writer.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


@pytest.fixture
async def scripted(anyio_backend: object) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    await server.stop()
