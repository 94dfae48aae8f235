"""Large payloads in chunks of a stream."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from typing import TYPE_CHECKING

from busfn.bus.frames import NO_RESPONDERS, Inbound
from busfn.bus.jetstream import SubjectFull
from busfn.errors import ConnectionError, DeserializationError

if TYPE_CHECKING:
    from busfn.bus.core import NatsBus
    from busfn.bus.jetstream import NatsQueues

CHUNK = 512 << 10
_WINDOW = 8
"""Chunks on the way at a time, either direction: bounds what sockets and servers have to hold."""
_PATIENCE = 1.0
_SILENCE = 5.0
_HASH_IN_THREAD = 1 << 20


class NatsBlobs:
    """Chunks ``<prefix>.<name>.<n>``; see `busfn.bus.base.Blobs`."""

    def __init__(self, bus: NatsBus, queues: NatsQueues, stream: str, prefix: str) -> None:
        self._bus = bus
        self._queues = queues
        self._stream = stream
        self._prefix = prefix

    async def put(self, name: str, data: bytes, *, ttl: float) -> int:
        size = min(CHUNK, self._bus.max_body)
        count = max(1, math.ceil(len(data) / size))
        headers = {"Nats-TTL": f"{max(1, math.ceil(ttl))}s"}
        numbers = iter(range(count))

        async def send() -> None:
            for n in numbers:
                try:
                    chunk = data[n * size : (n + 1) * size]
                    await self._queues.enqueue(f"{self._prefix}.{name}.{n}", chunk, headers, timeout=30.0)
                except SubjectFull:
                    continue  # stored before: names stand for their content

        async with asyncio.TaskGroup() as group:
            for _ in range(min(_WINDOW, count)):
                group.create_task(send())
        return count

    async def get(self, name: str, chunks: int, sha256: str) -> bytes:
        parts: dict[int, bytes] = {}
        for start in range(0, chunks, _WINDOW):
            await self._page(name, range(start, min(start + _WINDOW, chunks)), parts)
        data = b"".join(parts.pop(n) for n in range(chunks))
        if await _digest(data) != sha256:
            raise DeserializationError(f"blob {name} is damaged: its hash differs")
        return data

    async def _page(self, name: str, wanted: range, parts: dict[int, bytes]) -> None:
        """Read some chunks; one that is missing may be on its way to the replica that answers."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE
        while missing := [n for n in wanted if n not in parts]:
            await self._read(name, missing, parts)
            if all(n in parts for n in wanted):
                return
            if loop.time() >= deadline:
                raise DeserializationError(f"blob {name} is not complete: chunk {missing[0]} is gone or expired")
            await asyncio.sleep(0.05)

    async def _read(self, name: str, numbers: list[int], parts: dict[int, bytes]) -> None:
        """One batch Direct Get, closed by a status; silence ends it, too."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def receive(message: Inbound) -> None:
            if done.done():
                return
            if not message.status:
                n = message.headers.get("Nats-Subject", "").rpartition(".")[2]
                parts[int(n)] = message.body
            elif message.status == NO_RESPONDERS:
                done.set_exception(ConnectionError(f"no stream {self._stream} that can be read directly"))
            else:
                done.set_result(None)

        subjects = [f"{self._prefix}.{name}.{n}" for n in numbers]
        channel = self._bus.channel(receive)
        try:
            self._bus.publish(
                f"$JS.API.DIRECT.GET.{self._stream}",
                json.dumps({"multi_last": subjects}).encode(),
                reply=channel.subject,
            )
            async with asyncio.timeout(_SILENCE):
                await done
        except (TimeoutError, ConnectionError) as error:
            raise DeserializationError(f"blob {name} cannot be read: {error or 'no answer'}") from error
        finally:
            channel.close()

    async def delete(self, name: str) -> None:
        await self._queues.purge(self._stream, f"{self._prefix}.{name}.*")


async def _digest(data: bytes) -> str:
    if len(data) < _HASH_IN_THREAD:
        return hashlib.sha256(data).hexdigest()
    return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
