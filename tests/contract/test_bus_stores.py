"""Blobs and tables: what every bus does alike."""

from __future__ import annotations

import asyncio
import hashlib
import os

import pytest

from busfn.bus.base import StreamSpec
from busfn.bus.stores import Entry
from busfn.errors import DeserializationError

pytestmark = pytest.mark.anyio


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
async def blobs(bus, name):
    await bus.queues.ensure_stream(
        StreamSpec(
            name=f"{name}_BLOB",
            subjects=(f"{name}.blob.>",),
            kind="log",
            max_per_subject=1,
            allow_ttl=True,
            allow_direct=True,
        )
    )
    return bus.blobs


@pytest.mark.parametrize("size", [0, 1, 512 << 10, (512 << 10) + 1, 9_000_000])
async def test_a_blob_comes_back_whole(blobs, other, size):
    data = os.urandom(size)
    chunks = await blobs.put("one", data, ttl=60)
    assert chunks == max(1, -(-size // (512 << 10)))
    assert await other.blobs.get("one", chunks, digest(data)) == data


async def test_a_large_blob(blobs):
    data = os.urandom(1 << 20) * 100
    chunks = await blobs.put("large", data, ttl=60)
    assert await blobs.get("large", chunks, digest(data)) == data


async def test_the_same_content_may_be_stored_again(blobs, other):
    data = os.urandom(2_000_000)
    chunks = await asyncio.gather(*(each.put(digest(data), data, ttl=60) for each in (blobs, other.blobs, blobs)))
    assert await blobs.get(digest(data), chunks[0], digest(data)) == data


async def test_a_missing_blob_is_an_error_and_not_a_wait(blobs):
    started = asyncio.get_running_loop().time()
    with pytest.raises(DeserializationError):
        await blobs.get("nothing", 3, digest(b""))
    assert asyncio.get_running_loop().time() - started < 5


async def test_a_damaged_blob_is_refused(blobs):
    chunks = await blobs.put("one", b"data", ttl=60)
    with pytest.raises(DeserializationError):
        await blobs.get("one", chunks, digest(b"other"))
    with pytest.raises(DeserializationError):
        await blobs.get("one", chunks + 1, digest(b"data"))


def shared(blobs, data, reference):
    return blobs.share("content", data, reference=reference, ttl=60, keep=120)


async def test_shared_content_goes_with_its_last_reference(blobs, other):
    data = os.urandom(2_000_000)
    chunks = await shared(blobs, data, "one")
    assert chunks == 4
    assert await shared(other.blobs, data, "two") == chunks
    await blobs.release("content", "one")
    await blobs.release("content", "one")
    assert await blobs.get("content", chunks, digest(data)) == data
    await other.blobs.release("content", "two")
    with pytest.raises(DeserializationError):
        await blobs.get("content", chunks, digest(data))
    assert await shared(blobs, data, "three") == chunks
    assert await blobs.get("content", chunks, digest(data)) == data


async def test_a_holder_may_hold_once_more(blobs, other):
    data = os.urandom(600_000)
    chunks = await shared(blobs, data, "call.0")
    for _ in range(2):  # saying it twice is saying it once
        await other.blobs.refer("content", "call.1", ttl=60)
    await blobs.release("content", "call.0")
    assert await blobs.get("content", chunks, digest(data)) == data
    await blobs.release("content", "call.1")
    with pytest.raises(DeserializationError):
        await blobs.get("content", chunks, digest(data))


async def test_everything_of_one_owner_is_released_at_once(blobs, other):
    data = os.urandom(600_000)
    for n in range(20):
        await blobs.share(f"own{n}", data, reference="call.0", ttl=60, keep=120)
        await blobs.refer(f"own{n}", "call.1", ttl=60)
    chunks = await blobs.share("both", data, reference="call.2", ttl=60, keep=120)
    await blobs.refer("both", "dead.0", ttl=60)
    await blobs.share("others", data, reference="calls.0", ttl=60, keep=120)
    await other.blobs.release_all("call")
    await other.blobs.release_all("call")
    gone = (blobs.get(f"own{n}", chunks, digest(data)) for n in range(20))
    assert {type(found) for found in await asyncio.gather(*gone, return_exceptions=True)} == {DeserializationError}
    for name in ("both", "others"):
        assert await blobs.get(name, chunks, digest(data)) == data


async def test_who_holds_shared_content_can_read_it_whoever_releases_it_meanwhile(blobs, other):
    data = os.urandom(600_000)
    held = 0

    async def use(which, name):
        nonlocal held
        for turn in range(15):
            chunks = await shared(which, data, f"{name}x{turn}")
            if chunks is not None:
                assert await which.get("content", chunks, digest(data)) == data
                await which.release("content", f"{name}x{turn}")
                held += 1

    await asyncio.gather(*(use((blobs, other.blobs)[n % 2], n) for n in range(6)))
    assert held > 0


async def test_blobs_without_a_lifetime_stay(blobs):
    chunks = await blobs.put("one", b"data", ttl=0)
    await asyncio.sleep(1.5)
    assert await blobs.get("one", chunks, digest(b"data")) == b"data"


async def test_blobs_expire(blobs):
    chunks = await blobs.put("one", b"data", ttl=1)
    await asyncio.sleep(1.5)
    with pytest.raises(DeserializationError):
        await blobs.get("one", chunks, digest(b"data"))


async def test_a_table_keeps_values(bus, other, name):
    table, same = bus.table(name), other.table(name)
    assert await table.get("a.b") is None
    assert await table.keys() == []
    await table.put("a.b", b"1")
    await table.put("c", b"")
    assert await same.get("a.b") == b"1"
    assert await same.get("c") == b""
    assert await same.keys() == ["a.b", "c"]
    await same.put("a.b", b"2")
    assert await table.get("a.b") == b"2"
    assert await bus.table(f"{name}x").keys() == []


async def test_create_writes_only_what_is_new(bus, other, name):
    table = bus.table(name)
    assert await table.create("k", b"1")
    assert not await other.table(name).create("k", b"2")
    assert await table.get("k") == b"1"


async def test_only_one_create_wins(bus, other, name):
    tables = [bus.table(name), other.table(name)]
    for turn in range(5):
        won = await asyncio.gather(*(table.create(f"k{turn}", b"%d" % n) for n, table in enumerate(tables * 5)))
        assert sum(won) == 1


async def test_a_deleted_key_is_new_again(bus, other, name):
    table = bus.table(name)
    await table.put("k", b"1")
    for turn in range(3):
        await table.delete("k")
        await table.delete("k")
        assert await table.get("k") is None
        assert await table.keys() == []
        assert await other.table(name).create("k", b"%d" % turn)
        assert await table.get("k") == b"%d" % turn
    await table.delete("never")
    assert await table.get("never") is None


async def test_an_expired_key_is_new_again(bus, name):
    """How a leader keeps its lease."""
    table = bus.table(name)
    assert await table.create("lease", b"me", ttl=1)
    assert not await table.create("lease", b"you", ttl=1)
    async with asyncio.timeout(5):
        while not await table.create("lease", b"you", ttl=60):
            await asyncio.sleep(0.05)
    assert await table.get("lease") == b"you"


async def test_put_may_expire(bus, name):
    table = bus.table(name)
    await table.put("k", b"1", ttl=1)
    assert await table.keys() == ["k"]
    await asyncio.sleep(1.5)
    assert await table.get("k") is None
    assert await table.keys() == []


async def test_many_keys(bus, name):
    table = bus.table(name)
    keys = [f"key.{n:04}" for n in range(600)]
    await asyncio.gather(*(table.put(key, b"x") for key in keys))
    await table.delete(keys[7])
    assert await table.keys() == keys[:7] + keys[8:]


async def test_an_update_wins_only_over_the_revision_it_saw(bus, other, name):
    table = bus.table(name)
    assert await table.entry("k") is None
    await table.put("k", b"1")
    seen = await other.table(name).entry("k")
    assert seen is not None
    assert seen.value == b"1"
    revision = await table.update("k", b"2", seen.revision)
    assert revision is not None
    assert revision > seen.revision
    assert await table.update("k", b"3", seen.revision) is None
    assert await other.table(name).entry("k") == Entry(b"2", revision)


async def test_a_lease_is_renewed_by_updates_and_expires_without(bus, name):
    table = bus.table(name)
    assert await table.create("lease", b"me", ttl=1)
    entry = await table.entry("lease")
    assert entry is not None
    revision = await table.update("lease", b"me", entry.revision, ttl=1)
    assert revision is not None
    async with asyncio.timeout(5):
        while not await table.create("lease", b"you", ttl=60):
            await asyncio.sleep(0.05)
    assert await table.update("lease", b"me", revision, ttl=1) is None
    assert await table.get("lease") == b"you"


async def test_entries_under_a_pattern(bus, name):
    table = bus.table(name)
    assert await table.entries("app.*") == {}
    for key in ("app.a", "app.b", "version.a.1", "version.a.2"):
        await table.put(key, key.encode())
    await table.delete("app.b")
    assert {key: entry.value for key, entry in (await table.entries("app.*")).items()} == {"app.a": b"app.a"}
    assert sorted(await table.entries("version.a.*")) == ["version.a.1", "version.a.2"]
