"""Delayed calls come into their queues shortly before they are due, once each, whoever else does the same; on a memory
bus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.config import BusAddress
from busfn.errors import QueueFull
from busfn.invoke.delays import LEAD, PUT_OFF, is_early, queued_at, withdraw_messages
from busfn.protocol import headers as h
from busfn.protocol.codecs import Codecs, Payload
from busfn.protocol.envelope import Call, Status, read_answer
from busfn.protocol.subjects import Subjects
from busfn.streams import streams
from busfn_services.delays import Promoter
from busfn_services.supervisor.context import HostContext

pytestmark = pytest.mark.anyio

SUBJECTS = Subjects()
JOBS, DELAYED, OVF, RES = (SUBJECTS.stream(kind) for kind in ("JOBS", "DELAYED", "OVF", "RES"))
SOON = 0.3
"""Seconds until the calls of these tests come into their queue."""


class Site:
    """A bus, and contexts of those who serve functions on it."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.queues = MemoryBus(self.broker).queues

    def context(self) -> HostContext:
        return HostContext(
            bus=MemoryBus(self.broker), subjects=SUBJECTS, codecs=Codecs(), address=BusAddress(servers=())
        )

    async def delay(self, call: str, seconds: float = LEAD + SOON, function: str = "f") -> None:
        due = int((time.time() + seconds) * 1000)
        made = Call(call=call, payload=Payload(content_type="", body=b""), not_before=due)
        await self.queues.enqueue(SUBJECTS.delayed("app", function, call, due), call.encode(), made.headers())

    async def queued(self) -> list[str]:
        return await self.queues.subjects(JOBS, ">")

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not await condition():
                await asyncio.sleep(0.01)


@pytest.fixture
async def site() -> Site:
    made = Site()
    for stream in streams(SUBJECTS):
        await made.queues.ensure_stream(stream)
    return made


async def test_what_is_put_off_before_and_after_the_start_comes_into_its_queue(site: Site) -> None:
    await site.delay("before")
    async with Promoter(site.context()):
        await site.delay("after", function="Cls.method")
        await site.delay("later", seconds=60.0)
        assert await site.queued() == []
        wanted = [SUBJECTS.job("app", "Cls.method", "after"), SUBJECTS.job("app", "f", "before")]

        async def there() -> bool:
            return await site.queued() == wanted

        await site.until(there)
        stored = await site.queues.latest(JOBS, wanted[1])
        assert (stored.body, h.NOT_BEFORE in stored.headers) == (b"before", True)
        assert len(await site.queues.subjects(DELAYED, ">")) == 1


async def test_several_who_do_it_queue_each_call_once(site: Site) -> None:
    async with Promoter(site.context()), Promoter(site.context()), Promoter(site.context()):
        for number in range(100):
            await site.delay(f"c{number}")

        async def all_are() -> bool:
            return len(await site.queued()) == 100 and not await site.queues.subjects(DELAYED, ">")

        await site.until(all_are)
        [stream] = [stream for name, stream in site.broker.streams.items() if name == JOBS]
        assert len(stream.messages) == 100


async def test_who_does_not_lead_leaves_it_to_others(site: Site) -> None:
    leads = [False]
    async with Promoter(site.context(), lambda: leads[0]) as promoter:
        await site.delay("c", seconds=0.0)
        await asyncio.sleep(0.2)
        assert await site.queued() == []
        leads[0] = True
        promoter.read_again()
        await site.until(site.queued)


async def test_what_is_none_of_ours_keeps_nobody_from_the_rest(site: Site) -> None:
    other = MemoryBus(site.broker)
    async with Promoter(site.context()):
        await site.queues.enqueue("busfn.main.delayed.x", b"")
        await site.queues.enqueue("busfn.main.delayed.app.f.c.never", b"")
        await site.queues.enqueue("busfn.main.delayed.app.f.c." + "9" * 30, b"")
        for subject in (
            "busfn.main.delayed.app.f.*.1",
            "busfn.main.ovf.app.f.1",
            "other.1",
            "busfn.main.ovf.app.7",
            "",
        ):
            other.publish("busfn.main.delay.app.f.c.1", b"", {"Nats-Subject": subject})
        await site.queues.enqueue(
            SUBJECTS.delayed("app", "f", "c", 1), b"", {"Busfn-Protocol": "1", "Busfn-Call": "?!"}
        )
        await site.delay("good")

        async def there() -> bool:
            return SUBJECTS.job("app", "f", "good") in await site.queued()

        await site.until(there)


async def test_a_call_that_is_cancelled_at_its_moment_is_not_left_in_the_queue(site: Site) -> None:
    """It was withdrawn after it had been read, and before it was stored in the queue."""
    context = site.context()
    queues, enqueue = context.bus.queues, context.bus.queues.enqueue

    async def cancelled_meanwhile(*args, **kwargs) -> int:
        await site.queues.enqueue(SUBJECTS.cancelled("app", "f", "c"), b"")
        await withdraw_messages(MemoryBus(site.broker), SUBJECTS, "app", "f", "c")
        return await enqueue(*args, **kwargs)

    queues.enqueue = cancelled_meanwhile
    await site.delay("c", seconds=0.0)
    async with Promoter(context):

        async def is_gone() -> bool:
            cancelled = await site.queues.latest(RES, SUBJECTS.cancelled("app", "f", "c")) is not None
            return cancelled and not await site.queued()

        await site.until(is_gone)
        await asyncio.sleep(0.1)
        assert await is_gone()


async def test_a_full_queue_is_tried_again(site: Site) -> None:
    context = site.context()
    enqueue, tries = context.bus.queues.enqueue, []

    async def full_at_first(*args, **kwargs) -> int:
        tries.append(1)
        if len(tries) == 1:
            raise QueueFull("maximum bytes exceeded")
        return await enqueue(*args, **kwargs)

    context.bus.queues.enqueue = full_at_first
    await site.delay("c", seconds=0.0)
    async with Promoter(context):
        await site.until(site.queued)


async def test_the_caller_of_a_delayed_retry_is_told_its_new_place(site: Site) -> None:
    other, told = MemoryBus(site.broker), []
    channel = other.channel(lambda message: told.append(read_answer(message.headers, message.body)))
    due = int((time.time() + LEAD) * 1000)
    made = Call(call="c", payload=Payload(content_type="", body=b""), not_before=due, reply=channel.subject)
    await site.queues.enqueue(SUBJECTS.delayed_overflow("app", "f", due), b"x", made.headers())
    async with Promoter(site.context()):

        async def there() -> bool:
            return bool(told)

        await site.until(there)
    assert told[0].status is Status.BEAT
    assert (await site.queues.peek(OVF, told[0].sequence)).subject == SUBJECTS.overflow("app", "f")
    assert await site.queues.subjects(OVF, SUBJECTS.all_delayed_overflow) == []


async def test_only_what_has_time_is_put_off() -> None:
    now = 1000.0
    for seconds, early in ((-1.0, False), (0.1, False), (PUT_OFF, False), (PUT_OFF + 0.01, True), (1e9, True)):
        call = Call(call="c", payload=Payload(content_type="", body=b""), not_before=int((now + seconds) * 1000))
        assert is_early(call, now) is early
        subject = queued_at(SUBJECTS, "app", "f", call, now)
        assert subject.startswith("busfn.main.delayed." if early else "busfn.main.job.")
