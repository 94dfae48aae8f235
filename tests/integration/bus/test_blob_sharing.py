"""The race of shared content: one removes it, as its last holder, while another begins to hold it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Sequence

import pytest

from busfn.bus.base import StreamSpec
from busfn.bus.blobs import NatsBlobs
from busfn.bus.core import NatsBus, connect
from busfn.bus.frames import Inbound
from busfn.bus.jetstream import NatsQueues
from busfn.errors import DeserializationError
from busfn.invoke.payloads import discard, fetch, stow
from busfn.protocol.codecs import MSGPACK, Payload

pytestmark = pytest.mark.anyio

DATA = os.urandom(1_500_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
STREAM, PREFIX = "CONTENT", "content.blob"


class Slow(NatsQueues):
    """Real queues that stop after one of the looks that a removal takes: before its mark, or before its decision."""

    def __init__(self, bus: NatsBus, look: int, *, before: bool) -> None:
        super().__init__(bus)
        self._left = look
        self._before = before
        self.stopped, self.go = asyncio.Event(), asyncio.Event()

    async def latest(self, stream: str, subject: str) -> Inbound | None:
        self._left -= 1
        if self._left == 0 and self._before:
            await self._stop()
        found = await super().latest(stream, subject)
        if self._left == 0 and not self._before:
            await self._stop()
        return found

    async def _stop(self) -> None:
        self.stopped.set()
        await self.go.wait()


@pytest.fixture
async def bus(launch, anyio_backend: object) -> AsyncIterator[NatsBus]:
    address = launch().address
    async with await connect(address, name="test", blob_stream=STREAM, blob_prefix=PREFIX) as bus:
        await bus.queues.ensure_stream(
            StreamSpec(
                name=STREAM, subjects=(f"{PREFIX}.>",), kind="log", max_per_subject=1, allow_ttl=True, allow_direct=True
            )
        )
        yield bus


async def share(blobs: NatsBlobs, reference: str) -> int | None:
    return await blobs.share("c", DATA, reference=reference, ttl=60, keep=120)


async def stored(bus: NatsBus) -> Sequence[str]:
    return await bus.queues.subjects(STREAM, f"{PREFIX}.>")


async def test_who_comes_after_the_mark_does_not_rely_on_what_is_removed(bus: NatsBus) -> None:
    assert await share(bus.blobs, "old") == 3
    slow = Slow(bus, 2, before=True)
    removal = asyncio.create_task(NatsBlobs(bus, slow, STREAM, PREFIX).release("c", "old"))
    await slow.stopped.wait()
    assert await share(bus.blobs, "new") is None
    slow.go.set()
    await removal
    assert await stored(bus) == []
    assert await share(bus.blobs, "new") == 3
    assert await bus.blobs.get("c", 3, DIGEST) == DATA


async def test_who_comes_before_the_mark_is_seen_by_the_removal(bus: NatsBus) -> None:
    await share(bus.blobs, "old")
    slow = Slow(bus, 1, before=False)
    removal = asyncio.create_task(NatsBlobs(bus, slow, STREAM, PREFIX).release("c", "old"))
    await slow.stopped.wait()
    assert await share(bus.blobs, "new") == 3
    slow.go.set()
    await removal
    assert await bus.blobs.get("c", 3, DIGEST) == DATA
    await bus.blobs.release("c", "new")
    assert await stored(bus) == []


async def test_a_payload_is_stored_under_another_name_while_its_content_is_removed(bus: NatsBus) -> None:
    payload = Payload(content_type=MSGPACK, body=DATA)
    first = await stow(bus, payload)
    assert first.blob is not None
    await bus.queues.enqueue(f"{PREFIX}.{first.blob.name}.removing", b"", {"Nats-TTL": "60s"})
    second = await stow(bus, payload)
    assert second.blob is not None
    assert second.blob.name != first.blob.name
    await bus.queues.purge(STREAM, f"{PREFIX}.{first.blob.name}.>")
    assert (await fetch(bus, second)).body == DATA
    await discard(bus, second)
    assert await stored(bus) == []


async def test_what_a_dead_writer_left_unfinished_is_completed(bus: NatsBus) -> None:
    await share(bus.blobs, "dead")
    await bus.queues.purge(STREAM, f"{PREFIX}.c.1")
    with pytest.raises(DeserializationError):
        await bus.blobs.get("c", 3, DIGEST)
    assert await share(bus.blobs, "alive") == 3
    assert await bus.blobs.get("c", 3, DIGEST) == DATA


async def test_what_a_dead_remover_left_unfinished_is_completed(bus: NatsBus) -> None:
    """As when a worker is killed after it has set the mark, and the next to have its message gives it up again."""
    await share(bus.blobs, "old")
    await bus.queues.purge(STREAM, f"{PREFIX}.c.ref.old")
    await bus.queues.enqueue(f"{PREFIX}.c.removing", b"", {"Nats-TTL": "1s"})
    await bus.blobs.release("c", "old")
    assert await stored(bus) == []
