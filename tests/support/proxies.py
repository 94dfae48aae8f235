"""A TCP proxy before a nats-server that can black-hole some of its clients: their sockets live, and nothing arrives."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Self

CHUNK = 1 << 16


@dataclass(eq=False)
class _Client:
    """One connection through the proxy."""

    name: str = ""
    flowing: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """Use it with ``with``; clients are known by the name that they gave in their CONNECT."""

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._clients: set[_Client] = set()
        self._open = True
        """Whether new connections get through."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self, name: str = "") -> int:
        """Let nothing through any more, for one client, or for all and those to come; returns how many there were."""
        return self._run(self._set(name, flowing=False))

    def heal(self) -> int:
        """Let everything through again, what has waited first."""
        return self._run(self._set("", flowing=True))

    def _run(self, work: Coroutine[Any, Any, int]) -> int:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _set(self, name: str, *, flowing: bool) -> int:
        self._open = self._open if name else flowing
        found = [client for client in self._clients if name in ("", client.name)]
        for client in found:
            client.flowing.set() if flowing else client.flowing.clear()
        return len(found)

    async def _listen(self) -> int:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._listener.sockets[0].getsockname()[1])

    async def _end(self) -> int:
        assert self._listener is not None
        self._listener.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        return len(others)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client()
        if self._open:
            client.flowing.set()
        self._clients.add(client)
        upstream = None
        try:
            server_reader, upstream = await asyncio.open_connection(*self._server)
            ways = [
                asyncio.create_task(self._pump(client, reader, upstream)),
                asyncio.create_task(self._pump(client, server_reader, writer)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        except (asyncio.CancelledError, OSError):  # the proxy ends, or its server did
            return
        finally:
            self._clients.discard(client)
            writer.close()
            if upstream is not None:
                upstream.close()

    async def _pump(self, client: _Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if data.startswith(b"CONNECT "):
                client.name = json.loads(data.splitlines()[0].removeprefix(b"CONNECT "))["name"]
            await client.flowing.wait()
            writer.write(data)
            await writer.drain()
