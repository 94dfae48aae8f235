"""Large payloads in chunks of a stream."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
from typing import TYPE_CHECKING

from busfn.bus.api import attempts
from busfn.bus.base import SubjectFull
from busfn.bus.frames import Inbound
from busfn.errors import ConnectionError, DeserializationError, NoResponders

if TYPE_CHECKING:
    from busfn.bus.core import NatsBus
    from busfn.bus.jetstream import NatsQueues

log = logging.getLogger("busfn.bus")

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
        headers = {"Nats-TTL": f"{max(1, math.ceil(ttl))}s"} if ttl > 0 else {}
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
        missing = list(wanted)
        async for _ in attempts(self._bus, _PATIENCE):
            await self._read(name, missing, parts)
            missing = [n for n in wanted if n not in parts]
            if not missing:
                return
        raise DeserializationError(f"blob {name} is not complete: chunk {missing[0]} is gone or expired")

    async def _read(self, name: str, numbers: list[int], parts: dict[int, bytes]) -> None:
        """One batch Direct Get, closed by a status; silence ends it, too."""

        def receive(message: Inbound) -> None:
            parts[int(message.headers["Nats-Subject"].rpartition(".")[2])] = message.body

        query = json.dumps({"multi_last": [f"{self._prefix}.{name}.{n}" for n in numbers]}).encode()
        try:
            await self._bus.ask(
                f"$JS.API.DIRECT.GET.{self._stream}", query, timeout=_SILENCE, fragile=True, each=receive
            )
        except NoResponders as error:
            raise DeserializationError(f"blob {name} cannot be read: no stream {self._stream}") from error
        except ConnectionError:
            log.debug("blob %s: no answer, asking again", name)

    async def delete(self, name: str) -> None:
        await self._queues.purge(self._stream, f"{self._prefix}.{name}.*")


async def _digest(data: bytes) -> str:
    if len(data) < _HASH_IN_THREAD:
        return hashlib.sha256(data).hexdigest()
    return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
