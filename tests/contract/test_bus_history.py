"""Reading what streams keep: what every bus does alike."""

from __future__ import annotations

import time

import pytest

from busfn.bus.base import StreamSpec
from busfn.bus.stores import Bounds
from busfn.errors import NotFoundError

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[True, False], ids=["direct", "leader"])
async def kept(bus, name, request):
    """A log stream of ``<name>.>``, with and without Direct Get."""
    spec = StreamSpec(name=name, subjects=(f"{name}.>",), kind="log", memory=True, allow_direct=request.param)
    await bus.queues.ensure_stream(spec)
    return name


async def store(bus, kept, *tokens):
    for n, token in enumerate(tokens):
        await bus.queues.enqueue(f"{kept}.{token}", b"%d" % n, {"N": str(n)})


async def test_a_page_holds_what_matches_in_order(bus, other, kept):
    await store(bus, kept, "a", "b", "a", "a.x", "a")
    found = await other.history.read(kept, f"{kept}.a", sequence=1, count=10)
    assert [(each.subject, each.body, each.headers["N"], each.sequence) for each in found] == [
        (f"{kept}.a", b"0", "0", 1), (f"{kept}.a", b"2", "2", 3), (f"{kept}.a", b"4", "4", 5),
    ]  # fmt: skip
    assert all(abs(each.time - time.time()) < 600 for each in found)
    every = await other.history.read(kept, f"{kept}.>", sequence=2, count=3)
    assert [each.sequence for each in every] == [2, 3, 4]


async def test_pages_follow_one_another_to_the_end(bus, other, kept):
    await store(bus, kept, *("ab" * 20))
    sequence, seen = 1, []
    while page := await other.history.read(kept, f"{kept}.a", sequence=sequence, count=7):
        assert len(page) <= 7
        seen += [int(each.body) for each in page]
        sequence = page[-1].sequence + 1
    assert seen == list(range(0, 40, 2))


async def test_large_messages_come_in_smaller_pages_and_all_come(bus, other, kept):
    body = bytes(900_000)
    for _ in range(8):
        await bus.queues.enqueue(f"{kept}.a", body)
    sequence, sizes = 1, []
    while page := await other.history.read(kept, f"{kept}.a", sequence=sequence, count=100):
        sizes += [len(each.body) for each in page]
        sequence = page[-1].sequence + 1
    assert sizes == [900_000] * 8


async def test_nothing_is_found_where_nothing_is(bus, kept):
    assert await bus.history.read(kept, f"{kept}.a", sequence=1, count=5) == []
    assert await bus.history.first_since(kept, f"{kept}.a", 0) is None
    await store(bus, kept, "a")
    assert await bus.history.read(kept, f"{kept}.b", sequence=1, count=5) == []
    assert await bus.history.read(kept, f"{kept}.a", sequence=2, count=5) == []


async def test_bounds(bus, kept):
    empty = await bus.history.bounds(kept)
    assert empty.first > empty.last or empty == Bounds(0, 0)
    await store(bus, kept, "a", "b", "c")
    assert await bus.history.bounds(kept) == Bounds(1, 3)
    await bus.queues.purge(kept, f"{kept}.a")
    assert await bus.history.bounds(kept) == Bounds(2, 3)


async def test_the_first_since_a_moment(bus, kept):
    await store(bus, kept, "b", "a", "a", "b", "a")
    found = await bus.history.read(kept, f"{kept}.a", sequence=1, count=5)
    assert await bus.history.first_since(kept, f"{kept}.a", found[0].time - 3600) == 2
    assert await bus.history.first_since(kept, f"{kept}.a", found[-1].time + 3600) is None


async def test_a_stream_that_does_not_exist(bus, name):
    with pytest.raises(NotFoundError):
        await bus.history.bounds(name)
    with pytest.raises(NotFoundError):
        await bus.history.read(name, f"{name}.a", sequence=1, count=1)
    with pytest.raises(NotFoundError):
        await bus.history.first_since(name, f"{name}.a", 0)
