"""A worker stays out of its function's queue group while somebody stands in, on a bus in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from busfn.bus.base import Handler
from busfn.bus.memory import MemoryBroker, MemoryBus, MemorySubscription
from busfn.errors import ConnectionError, NoResponders
from busfn.protocol.control import Cover
from busfn.protocol.subjects import Subjects
from busfn.spec import FunctionSpec
from busfn_services.worker import membership as module
from busfn_services.worker.membership import Membership

pytestmark = pytest.mark.anyio

SPEC = FunctionSpec(app="app", name="f", source={}, qualname="f")
SUBJECTS = Subjects()
CALLS = SUBJECTS.function("app", "f")


class Site:
    """A worker's membership, and the bus as others see it."""

    def __init__(self) -> None:
        broker = MemoryBroker()
        self.bus, self.other = MemoryBus(broker), MemoryBus(broker)
        self.membership = self.make()

    def make(self) -> Membership:
        return Membership(self.bus, SUBJECTS, SPEC, lambda message: self.bus.publish(message.reply, message.body))

    async def takes_calls(self) -> bool:
        try:
            await self.other.request(CALLS, b"call")
        except NoResponders:
            return False
        return True

    async def say(self, word: Cover) -> None:
        self.other.publish(SUBJECTS.cover("app", "f"), word.value)
        await self.other.flush()

    async def until(self, taken: bool) -> None:
        async with asyncio.timeout(10):
            while await self.takes_calls() is not taken:
                await asyncio.sleep(0.001)


@pytest.fixture
async def site(anyio_backend: object):
    site = Site()
    await site.membership.join()
    yield site
    await site.membership.leave()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)


async def test_it_takes_calls_until_it_leaves(site: Site):
    assert await site.takes_calls()
    await site.membership.leave()
    assert not await site.takes_calls()


async def test_one_that_was_held_up_asks_for_somebody_to_stand_in(site: Site, collect: Callable):
    asked = collect()
    await site.other.subscribe(SUBJECTS.question("cover", "app"), asked)
    site.membership.held_up()
    [question] = await asked.reach(1)
    assert question.body == b"f"
    assert await site.takes_calls()  # until somebody does


async def test_it_stays_out_while_somebody_says_that_he_stands_in(site: Site, brief: None):
    await site.say(Cover.STANDS)
    await site.until(taken=False)
    for _ in range(10):
        await asyncio.sleep(0.01)
        await site.say(Cover.STANDS)
        assert not await site.takes_calls()
    await site.until(taken=True)  # nobody says so any more


async def test_it_is_back_at_once_when_that_is_over(site: Site):
    await site.say(Cover.STANDS)
    await site.until(taken=False)
    await site.say(Cover.OVER)
    await site.until(taken=True)
    await site.say(Cover.OVER)
    assert await site.takes_calls()


async def test_it_goes_and_comes_as_often_as_it_is_told(site: Site):
    for _ in range(3):
        await site.say(Cover.STANDS)
        await site.until(taken=False)
        await site.say(Cover.OVER)
        await site.until(taken=True)


async def test_words_that_came_while_it_was_held_up_count(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PATIENCE", 0.0)  # its time is up whenever it looks
    flush = site.bus.flush

    async def hear(timeout: float = 10.0) -> None:
        await site.say(Cover.STANDS)
        await flush(timeout)

    monkeypatch.setattr(site.bus, "flush", hear)
    await site.say(Cover.STANDS)
    await site.until(taken=False)
    for _ in range(10):
        assert not await site.takes_calls()
    monkeypatch.setattr(site.bus, "flush", flush)
    await site.until(taken=True)


async def test_it_comes_back_also_when_the_bus_was_away_just_then(
    site: Site, brief: None, monkeypatch: pytest.MonkeyPatch
):
    subscribe, failures = site.bus.subscribe, [ConnectionError("away"), ConnectionError("away")]

    async def fail_twice(subject: str, handler: Handler, *, queue: str = "") -> MemorySubscription:
        if failures:
            raise failures.pop()
        return await subscribe(subject, handler, queue=queue)

    await site.say(Cover.STANDS)
    await site.until(taken=False)
    monkeypatch.setattr(site.bus, "subscribe", fail_twice)
    await site.until(taken=True)
    assert failures == []


async def test_one_that_comes_while_somebody_stands_in_stays_out(site: Site, monkeypatch: pytest.MonkeyPatch):
    subscribe = site.bus.subscribe

    async def hear_at_once(subject: str, handler: Handler, *, queue: str = "") -> MemorySubscription:
        subscription = await subscribe(subject, handler, queue=queue)
        await site.say(Cover.STANDS)
        return subscription

    await site.membership.leave()
    monkeypatch.setattr(site.bus, "subscribe", hear_at_once)
    site.membership = site.make()
    await site.membership.join()
    await site.until(taken=False)
    monkeypatch.setattr(site.bus, "subscribe", subscribe)
    await site.say(Cover.OVER)
    await site.until(taken=True)


async def test_one_that_leaves_while_it_is_out_does_not_come_back(site: Site, brief: None):
    await site.say(Cover.STANDS)
    await site.until(taken=False)
    await site.membership.leave()
    await asyncio.sleep(0.6)
    assert not await site.takes_calls()
