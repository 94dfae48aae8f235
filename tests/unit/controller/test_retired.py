"""Consumers of functions that are served no more go, but none that somebody still needs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from busfn.bus.base import ConsumerSpec, Delivery, StreamSpec, Verdict
from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.claims import Claim
from busfn.errors import NotFoundError
from busfn_services.controller.retired import Retired

pytestmark = pytest.mark.anyio

CONSUMER = ConsumerSpec(stream="JOBS", name="app=f", subject="job.app.f.*")


@pytest.fixture
async def bus(anyio_backend: object) -> AsyncIterator[MemoryBus]:
    async with MemoryBus(MemoryBroker()) as bus:
        await bus.queues.ensure_stream(StreamSpec(name="JOBS", subjects=("job.>",)))
        await bus.queues.ensure_consumer(CONSUMER)
        yield bus


@pytest.fixture
def retired(bus: MemoryBus) -> Retired:
    retired = Retired(bus.queues, bus.table("APPS"))
    retired.add("app", [CONSUMER])
    return retired


async def there(bus: MemoryBus) -> bool:
    try:
        await bus.queues.lag(CONSUMER.stream, CONSUMER.name)
    except NotFoundError:
        return False
    return True


async def test_what_nobody_needs_is_removed(bus: MemoryBus, retired: Retired):
    await retired.tidy()
    assert not await there(bus)


async def test_what_is_removed_is_left_alone_from_then_on(bus: MemoryBus, retired: Retired):
    await retired.tidy()
    await bus.queues.ensure_consumer(CONSUMER)  # by somebody else
    await retired.tidy()
    assert await there(bus)


async def test_one_that_somebody_has_deleted_is_forgotten(bus: MemoryBus, retired: Retired):
    await bus.queues.delete_consumer(CONSUMER.stream, CONSUMER.name)
    await retired.tidy()
    await bus.queues.ensure_consumer(CONSUMER)
    await retired.tidy()
    assert await there(bus)


async def test_what_is_served_again_stays(bus: MemoryBus, retired: Retired):
    retired.discard([CONSUMER])
    await retired.tidy()
    assert await there(bus)


async def test_what_somebody_runs_is_left_to_the_run(bus: MemoryBus, retired: Retired):
    await bus.table("APPS").put("run.app", Claim("run", ("one",)).encode())
    await retired.tidy()
    await bus.table("APPS").delete("run.app")
    await retired.tidy()
    assert await there(bus)


async def test_it_stays_while_something_is_queued_or_runs(bus: MemoryBus, retired: Retired):
    await bus.queues.enqueue("job.app.f.c1", b"")
    await retired.tidy()
    assert await there(bus)
    taken: list[Delivery] = []
    puller = bus.queues.pull(CONSUMER, lambda: 1 - len(taken), taken.append)
    await bus.flush()
    assert len(taken) == 1
    await retired.tidy()
    assert await there(bus)
    bus.queues.settle(taken[0].token, Verdict.ACK)
    await puller.stop()
    await retired.tidy()
    assert not await there(bus)


async def test_it_stays_while_somebody_asks_for_more(bus: MemoryBus, retired: Retired):
    puller = bus.queues.pull(CONSUMER, lambda: 1, lambda _: None)
    await bus.flush()
    await retired.tidy()
    assert await there(bus)
    await puller.stop()
    await retired.tidy()
    assert not await there(bus)
