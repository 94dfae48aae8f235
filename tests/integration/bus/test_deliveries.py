"""What a dying worker had not read is handed to others at once, and nothing else is."""

from __future__ import annotations

import json

import pytest
from readers import reader

from busfn.bus.base import StreamSpec
from busfn_services.flight import Kind
from busfn_services.supervisor.deliveries import Deliveries

pytestmark = pytest.mark.anyio

NOTHING_TAKEN = {Kind.OVERFLOW: 0, Kind.JOB: 0}


class Site:
    """A queue with a supervisor's watch, a worker that never reads (it only asks), and another one that does."""

    def __init__(self, name, supervisor, dying, other):
        self.name = name
        self.supervisor = supervisor
        self.dying = dying
        self.other = other
        self.watch = Deliveries(supervisor, f"_INBOX.{name}", [reader(f"{name}-overflow"), reader(name)])
        self.seen: list[str] = []

    async def open(self):
        await self.other.queues.ensure_stream(StreamSpec(name=self.name, subjects=(f"{self.name}.>",)))
        await self.other.queues.ensure_consumer(reader(self.name))
        await self.watch.watch()
        await self.supervisor.subscribe(f"_INBOX.{self.name}.3.*", lambda message: self.seen.append(message.reply))

    async def hand_to_the_dying(self, count, *, asked=None):
        """Have so many messages sent to the worker's inbox; their tokens."""
        request = {"batch": asked or count, "expires": 20_000_000_000}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.name}.c"
        self.dying.publish(subject, json.dumps(request).encode(), reply=f"_INBOX.{self.name}.3.1")
        await self.dying.flush()
        for number in range(count):
            await self.other.queues.enqueue(f"{self.name}.{number}", b"%d" % number)
        await self.supervisor.flush()
        return list(self.seen)


@pytest.fixture
async def site(connected, address, name):
    site = Site(name, *[await connected(address) for _ in range(3)])
    await site.open()
    return site


async def test_what_was_not_read_is_handed_to_others(site, collect):
    assert len(await site.hand_to_the_dying(5)) == 5
    others = collect()
    site.other.queues.pull(reader(site.name), lambda: 10, others)
    await site.watch.hand_back(NOTHING_TAKEN, ())
    assert sorted(int(d.message.body) for d in await others.reach(5)) == list(range(5))


async def test_what_was_dealt_with_or_is_held_is_left_alone(site, collect):
    tokens = await site.hand_to_the_dying(6)
    others = collect()
    site.other.queues.pull(reader(site.name), lambda: 10, others)
    await site.watch.hand_back({Kind.OVERFLOW: 0, Kind.JOB: 3}, {tokens[4]})
    assert sorted(int(d.message.body) for d in await others.reach(2)) == [3, 5]
    await site.other.flush()
    assert len(others.items) == 2


async def test_what_is_sent_to_a_worker_that_is_gone_comes_back(site, collect):
    await site.hand_to_the_dying(1, asked=3)
    others = collect()
    flush = site.supervisor.flush

    async def flush_and_let_two_more_arrive():
        await flush()
        for number in (1, 2):
            await site.other.queues.enqueue(f"{site.name}.{number}", b"%d" % number)
        await flush()

    site.supervisor.flush = flush_and_let_two_more_arrive
    await site.watch.hand_back(NOTHING_TAKEN, ())
    site.supervisor.flush = flush
    site.other.queues.pull(reader(site.name), lambda: 10, others)
    assert sorted(int(d.message.body) for d in await others.reach(3)) == [0, 1, 2]


async def test_nothing_is_handed_back_after_the_watch_was_left(site, collect):
    await site.hand_to_the_dying(2)
    await site.watch.leave()
    await site.watch.leave()
    await site.watch.hand_back(NOTHING_TAKEN, ())
    lag = await site.other.queues.lag(site.name, "c")
    assert (lag.pending, lag.unsettled) == (0, 2)


async def test_what_a_stranger_sends_to_the_inbox_is_no_delivery(site, connected, address, collect):
    """Whoever knows where a worker's deliveries come can send there, but not under another subject."""
    stranger = await connected(address)
    forged = [
        (f"$JS.ACK.{site.name}.c.1.1.99.1795468482988188458.0", b"forged"),
        ("$JS.API.STREAM.DELETE.JOBS", b"forged"),
        ("elsewhere.x", b"forged"),
    ]
    got, elsewhere = collect(), collect()
    await stranger.subscribe("elsewhere.>", elsewhere)
    inbox = f"_INBOX.{site.name}-pull"
    puller = site.other.queues.pull(reader(site.name), lambda: 10, got, inbox=inbox)
    for reply, body in forged:
        stranger.publish(f"{inbox}.1", body, reply=reply)
        stranger.publish(f"_INBOX.{site.name}.3.1", body, reply=reply)
    await stranger.flush()
    await site.other.queues.enqueue(f"{site.name}.1", b"true")
    (delivery,) = await got.reach(1)
    assert delivery.message.body == b"true"
    await site.watch.hand_back(NOTHING_TAKEN, ())
    await puller.stop()
    await stranger.flush()
    assert [one.body for one in elsewhere.items] == []
