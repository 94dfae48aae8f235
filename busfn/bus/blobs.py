"""Large payloads in chunks of a stream."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Set
from contextlib import suppress
from typing import TYPE_CHECKING

from busfn.bus.api import attempts
from busfn.bus.assembly import Assembly
from busfn.bus.base import SubjectFull
from busfn.bus.frames import Inbound
from busfn.errors import ConnectionError, DeserializationError, NoResponders

if TYPE_CHECKING:
    from busfn.bus.core import NatsBus
    from busfn.bus.jetstream import NatsQueues

log = logging.getLogger("busfn.bus")

CHUNK = 512 << 10
_WINDOW = 16
"""Chunks on the way at a time, either direction: bounds what sockets and servers have to hold."""
_PATIENCE = 1.0
_SILENCE = 5.0
_MARK_TTL = 30.0
"""Seconds after which the mark of a removal is void, whose owner died."""
_LATE = 5.0
"""Seconds after which its owner leaves it at that, far from the mark's end."""


class NatsBlobs:
    """Chunks ``<prefix>.<name>.<n>``; see `busfn.bus.base.Blobs`."""

    def __init__(self, bus: NatsBus, queues: NatsQueues, stream: str, prefix: str) -> None:
        self._bus = bus
        self._queues = queues
        self._stream = stream
        self._prefix = prefix

    async def put(self, name: str, data: bytes, *, ttl: float) -> int:
        return await self._put(name, data, ttl, frozenset())

    async def _put(self, name: str, data: bytes, ttl: float, there: Set[str]) -> int:
        size = min(CHUNK, self._bus.max_body)
        count = max(1, math.ceil(len(data) / size))
        headers = _expiry(ttl)
        numbers = iter([n for n in range(count) if f"{self._prefix}.{name}.{n}" not in there])

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
        whole = Assembly(chunks)
        for start in range(0, chunks, _WINDOW):
            await self._page(name, range(start, min(start + _WINDOW, chunks)), whole)
        if whole.sha256 != sha256:
            raise DeserializationError(f"blob {name} is damaged: its hash differs")
        return whole.data

    async def _page(self, name: str, wanted: range, whole: Assembly) -> None:
        """Read some chunks; one that is missing may be on its way to the replica that answers."""
        missing = list(wanted)
        async for _ in attempts(self._bus, _PATIENCE):
            await self._read(name, missing, whole)
            missing = [n for n in wanted if not whole.has(n)]
            if not missing:
                return
        raise DeserializationError(f"blob {name} is not complete: chunk {missing[0]} is gone or expired")

    async def _read(self, name: str, numbers: list[int], whole: Assembly) -> None:
        """One batch Direct Get, closed by a status; silence ends it, too."""

        def receive(message: Inbound) -> None:
            whole.add(int(message.headers["Nats-Subject"].rpartition(".")[2]), message.body)

        query = json.dumps({"multi_last": [f"{self._prefix}.{name}.{n}" for n in numbers]}).encode()
        try:
            await self._bus.ask(
                f"$JS.API.DIRECT.GET.{self._stream}", query, timeout=_SILENCE, fragile=True, each=receive
            )
        except NoResponders as error:
            raise DeserializationError(f"blob {name} cannot be read: no stream {self._stream}") from error
        except ConnectionError:
            log.debug("blob %s: no answer, asking again", name)

    async def share(self, name: str, data: bytes, *, reference: str, ttl: float, keep: float) -> int | None:
        await self.refer(name, reference, ttl=ttl)
        # After our reference is stored: see `_remove_unheld`.
        there = frozenset(await self._queues.subjects(self._stream, f"{self._prefix}.{name}.*"))
        if self._mark(name) in there:
            await self._queues.purge(self._stream, self._reference(name, reference))
            return None
        return await self._put(name, data, keep, there)

    async def refer(self, name: str, reference: str, *, ttl: float) -> None:
        with suppress(SubjectFull):  # it was stored before
            await self._queues.enqueue(self._reference(name, reference), b"", _expiry(ttl))

    async def release(self, name: str, reference: str) -> None:
        await self._queues.purge(self._stream, self._reference(name, reference))
        await self._remove_unheld(name)

    async def release_all(self, owner: str) -> None:
        references = f"{self._prefix}.*.ref.{owner}.*"
        held = await self._queues.subjects(self._stream, references)
        if not held:
            return
        await self._queues.purge(self._stream, references)
        place = self._prefix.count(".") + 1
        names = iter({subject.split(".")[place] for subject in held})

        async def remove() -> None:
            for name in names:
                await self._remove_unheld(name)

        async with asyncio.TaskGroup() as group:
            for _ in range(_WINDOW):
                group.create_task(remove())

    async def _remove_unheld(self, name: str) -> None:
        """Remove what nobody refers to. When somebody else is at it, wait and see: it may die before it is done."""
        while not await self._held(name) and not await self._removed(name):
            await self._unmarked(name)

    async def _removed(self, name: str) -> bool:
        """First the mark, then a look for references, then the removal, of the mark as well.

        Who shares does it the other way round: first the reference, then a look for the mark. So either the one who
        removes sees the reference, or the one who shares sees the mark, or all is gone already. False when it is to be
        tried again once there is no mark.
        """
        since = time.monotonic()
        try:
            await self._queues.enqueue(self._mark(name), b"", _expiry(_MARK_TTL))
        except SubjectFull:
            return False
        held = await self._held(name)
        if not held and (time.monotonic() - since > _LATE or not self._bus.connected):
            return False
        await self._queues.purge(self._stream, self._mark(name) if held else f"{self._prefix}.{name}.*")
        return True

    async def _unmarked(self, name: str) -> None:
        """Wait until a removal is over, or its mark void."""
        async for _ in attempts(self._bus, 2 * _MARK_TTL):
            if await self._queues.latest(self._stream, self._mark(name)) is None:
                return

    async def _held(self, name: str) -> bool:
        """Whether there is a reference; one look, however many there are."""
        return await self._queues.latest(self._stream, self._reference(name, ">")) is not None

    def _reference(self, name: str, reference: str) -> str:
        return f"{self._prefix}.{name}.ref.{reference}"

    def _mark(self, name: str) -> str:
        return f"{self._prefix}.{name}.removing"


def _expiry(seconds: float) -> dict[str, str]:
    return {"Nats-TTL": f"{max(1, math.ceil(seconds))}s"} if seconds > 0 else {}
