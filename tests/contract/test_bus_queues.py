"""Work queues: what every bus does alike."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from readers import reader

from busfn.bus.base import ConsumerSpec, Lag, Outgoing, StreamSpec, Verdict
from busfn.errors import ConflictError, ConnectionError, InvalidError, NotFoundError, QueueFull, VersionError

pytestmark = pytest.mark.anyio


async def consumer(bus, jobs, *, ack_wait=30.0, subject=""):
    """A consumer ``c`` of everything in the stream."""
    await bus.queues.ensure_consumer(reader(jobs, subject=subject, ack_wait=ack_wait))


async def settled(bus, jobs, timeout=5.0):
    """Wait until the consumer has nothing left."""
    async with asyncio.timeout(timeout):
        while True:
            lag = await bus.queues.lag(jobs, "c")
            if lag.pending == lag.unsettled == 0:
                return
            await asyncio.sleep(0.01)


async def test_what_is_stored_is_delivered_and_acked(bus, other, jobs, collect):
    before = time.time()
    sequence = await bus.queues.enqueue(f"{jobs}.a.1", b"body", {"X": "y"}, msg_id="one")
    await consumer(bus, jobs)
    got = collect()
    other.queues.pull(reader(jobs), lambda: 10, got)
    [delivery] = await got.reach(1)
    assert (delivery.sequence, delivery.deliveries) == (sequence, 1)
    assert before <= delivery.stored_at <= time.time()
    assert delivery.message.subject == f"{jobs}.a.1"
    assert delivery.message.body == b"body"
    assert delivery.message.headers["X"] == "y"
    assert (await bus.queues.peek(jobs, sequence)).body == b"body"
    other.queues.settle(delivery.token, Verdict.ACK)
    await settled(bus, jobs)
    assert await bus.queues.peek(jobs, sequence) is None


async def test_deliveries_come_in_order_and_all(bus, other, jobs, collect):
    await consumer(bus, jobs)
    got = collect()
    other.queues.pull(reader(jobs), lambda: 50, lambda d: (other.queues.settle(d.token, Verdict.ACK), got(d)))
    await asyncio.gather(*(bus.queues.enqueue(f"{jobs}.a", b"%d" % n) for n in range(500)))
    deliveries = await got.reach(500)
    assert sorted(int(delivery.message.body) for delivery in deliveries) == list(range(500))
    assert [delivery.sequence for delivery in deliveries] == list(range(1, 501))
    await settled(bus, jobs)


async def test_a_puller_never_has_more_than_its_capacity(bus, other, jobs, collect):
    await consumer(bus, jobs)
    for n in range(20):
        await bus.queues.enqueue(f"{jobs}.a", b"%d" % n)
    got, running, most = collect(), [], []

    def start(delivery):
        running.append(delivery)
        most.append(len(running))
        got(delivery)

    puller = other.queues.pull(reader(jobs), lambda: 3 - len(running), start)
    for n in range(20):
        await got.reach(n + 1)
        other.queues.settle(running.pop(0).token, Verdict.ACK)
        puller.wake()
    await settled(bus, jobs)
    assert max(most) == 3
    assert {delivery.deliveries for delivery in got.items} == {1}


async def test_wake_asks_at_once(bus, other, jobs, collect):
    await consumer(bus, jobs)
    await bus.queues.enqueue(f"{jobs}.a", b"")
    room = [0]
    got = collect()
    puller = other.queues.pull(reader(jobs), lambda: room[0], got)
    await other.flush()
    await bus.flush()
    assert got.items == []
    assert (await bus.queues.lag(jobs, "c")).pending == 1
    room[0] = 1
    puller.wake()
    await got.reach(1, timeout=2)


async def test_capacity_may_grow_while_a_pull_stands(bus, other, jobs, collect):
    await consumer(bus, jobs)
    room, got = [1], collect()

    def take(delivery):
        room[0] -= 1
        got(delivery)

    puller = other.queues.pull(reader(jobs), lambda: room[0], take)
    await other.flush()
    room[0] = 5
    puller.wake()
    await other.flush()
    for _ in range(6):
        await bus.queues.enqueue(f"{jobs}.a", b"")
    await got.reach(5, timeout=2)
    await other.flush()
    assert len(got.items) == 5
    assert (await bus.queues.lag(jobs, "c")).unsettled == 5


async def test_what_exceeds_the_capacity_is_the_handlers_to_refuse(bus, make_bus, jobs, collect):
    """Room was lost while a pull stood: somebody else gets the message at once."""
    await consumer(bus, jobs)
    full, room = await make_bus(), [1]
    got = collect()
    full.queues.pull(reader(jobs), lambda: room[0], lambda d: full.queues.settle(d.token, Verdict.NAK))
    await full.flush()
    room[0] = 0
    free = await make_bus()
    free.queues.pull(reader(jobs), lambda: 1, got)
    await free.flush()
    await bus.queues.enqueue(f"{jobs}.a", b"")
    await bus.queues.enqueue(f"{jobs}.b", b"")
    await got.reach(2, timeout=5)
    assert sorted(delivery.message.subject for delivery in got.items) == [f"{jobs}.a", f"{jobs}.b"]


async def test_several_pullers_share(bus, make_bus, jobs, collect):
    await consumer(bus, jobs)
    got = collect()
    for _ in range(3):
        one = await make_bus()
        one.queues.pull(reader(jobs), lambda: 5, lambda d, one=one: (one.queues.settle(d.token, Verdict.ACK), got(d)))
    await asyncio.gather(*(bus.queues.enqueue(f"{jobs}.a", b"%d" % n) for n in range(200)))
    deliveries = await got.reach(200)
    assert sorted(int(delivery.message.body) for delivery in deliveries) == list(range(200))


async def test_nak_hands_out_again_at_once(bus, jobs, collect):
    await consumer(bus, jobs)
    got = collect()
    bus.queues.pull(reader(jobs), lambda: 1, got)
    await bus.queues.enqueue(f"{jobs}.a", b"")
    [first] = await got.reach(1)
    bus.queues.settle(first.token, Verdict.NAK)
    _, second = await got.reach(2, timeout=2)
    assert (second.sequence, second.deliveries) == (first.sequence, 2)
    assert second.stored_at == first.stored_at


async def test_nak_with_a_delay_hands_out_later(bus, jobs, collect):
    await consumer(bus, jobs)
    got, loop = collect(), asyncio.get_running_loop()
    bus.queues.pull(reader(jobs), lambda: 10, got)
    await bus.queues.enqueue(f"{jobs}.a", b"")
    [first] = await got.reach(1)
    started = loop.time()
    bus.queues.settle(first.token, Verdict.NAK, delay=0.4)
    await bus.flush()
    assert (await bus.queues.lag(jobs, "c")).unsettled == 1
    await got.reach(2)
    assert 0.35 < loop.time() - started < 1.5


async def test_only_a_nak_has_a_delay(bus):
    with pytest.raises(InvalidError):
        bus.queues.settle("$JS.ACK.s.c.1.1.1.1.0", Verdict.ACK, delay=1)


async def test_an_unsettled_delivery_comes_back_when_its_lease_ends(bus, jobs, collect):
    await consumer(bus, jobs, ack_wait=0.3)
    got, loop = collect(), asyncio.get_running_loop()
    bus.queues.pull(reader(jobs), lambda: 10, got)
    await bus.queues.enqueue(f"{jobs}.a", b"")
    await got.reach(1)
    started = loop.time()
    _, second = await got.reach(2)
    assert 0.2 < loop.time() - started < 1.5
    assert second.deliveries == 2


async def test_progress_renews_the_lease(bus, other, jobs, collect):
    await consumer(bus, jobs, ack_wait=0.5)
    got = collect()
    bus.queues.pull(reader(jobs), lambda: 10, got)
    await bus.queues.enqueue(f"{jobs}.a", b"")
    [delivery] = await got.reach(1)
    for _ in range(6):
        await asyncio.sleep(0.2)
        other.queues.settle(delivery.token, Verdict.PROGRESS)  # tokens are valid from any connection
    await other.flush()
    assert len(got.items) == 1
    await other.queues.confirm(delivery.token)
    await settled(bus, jobs)


async def test_term_removes(bus, jobs, collect):
    await consumer(bus, jobs)
    got = collect()
    bus.queues.pull(reader(jobs), lambda: 1, got)
    sequence = await bus.queues.enqueue(f"{jobs}.a", b"")
    [delivery] = await got.reach(1)
    bus.queues.settle(delivery.token, Verdict.TERM)
    await settled(bus, jobs)
    assert await bus.queues.peek(jobs, sequence) is None


async def test_settling_twice_is_harmless(bus, jobs, collect):
    await consumer(bus, jobs)
    got = collect()
    bus.queues.pull(reader(jobs), lambda: 1, got)
    await bus.queues.enqueue(f"{jobs}.a", b"")
    [delivery] = await got.reach(1)
    await bus.queues.confirm(delivery.token)
    await bus.queues.confirm(delivery.token)
    for verdict in Verdict:
        bus.queues.settle(delivery.token, verdict)
    await bus.flush()
    await bus.queues.enqueue(f"{jobs}.a", b"next")
    deliveries = await got.reach(2)
    assert deliveries[1].message.body == b"next"


async def test_confirm_means_that_the_server_has_it(bus, jobs, collect):
    await consumer(bus, jobs)
    got = collect()
    bus.queues.pull(reader(jobs), lambda: 100, got)
    for n in range(20):
        sequence = await bus.queues.enqueue(f"{jobs}.a", b"")
        delivery = (await got.reach(n + 1))[n]
        await bus.queues.confirm(delivery.token)
        assert await bus.queues.peek(jobs, sequence) is None


async def test_stopping_leaves_nothing_leased(bus, make_bus, jobs, collect):
    """Whatever was in flight is naked: the next puller gets all of it at once."""
    await consumer(bus, jobs)
    for turn in range(10):
        leaving = await make_bus()
        got = collect()
        puller = leaving.queues.pull(reader(jobs), lambda: 100, got)
        enqueuing = [asyncio.create_task(bus.queues.enqueue(f"{jobs}.a", b"%d" % turn)) for _ in range(40)]
        await got.reach(1)
        await puller.stop()
        handed = len(got.items)
        for delivery in got.items:
            leaving.queues.settle(delivery.token, Verdict.ACK)
        await asyncio.gather(*enqueuing)
        await leaving.flush()
        assert len(got.items) == handed
        rest = collect()
        taking = await make_bus()
        second = taking.queues.pull(reader(jobs), lambda: 100, rest)
        for delivery in await rest.reach(40 - handed, timeout=3):
            await taking.queues.confirm(delivery.token)
        await second.stop()
        await settled(bus, jobs)
        await puller.stop()


async def test_closing_leaves_nothing_leased(bus, make_bus, jobs, collect):
    await consumer(bus, jobs)
    leaving = await make_bus()
    leaving.queues.pull(reader(jobs), lambda: 0 if leaving_full else 5, print)
    leaving_full = False
    await leaving.flush()
    leaving_full = True
    await leaving.close()
    await bus.queues.enqueue(f"{jobs}.a", b"")
    got = collect()
    bus.queues.pull(reader(jobs), lambda: 1, got)
    await got.reach(1, timeout=3)


async def test_a_full_stream_refuses(bus, name):
    await bus.queues.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.>",), memory=True, max_bytes=2000))
    enqueuing = [bus.queues.enqueue(f"{name}.a", b"x" * 100, timeout=5) for _ in range(50)]
    outcomes = await asyncio.gather(*enqueuing, return_exceptions=True)
    stored = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert 3 < len(stored) < 20
    assert {type(outcome) for outcome in outcomes} == {int, QueueFull}


async def test_the_first_message_of_a_subject_wins(bus, name):
    """How results are kept: whatever runs twice, one result is stored."""
    await bus.queues.ensure_stream(
        StreamSpec(name=name, subjects=(f"{name}.>",), kind="log", memory=True, max_per_subject=1)
    )
    sequence = await bus.queues.enqueue(f"{name}.r.1", b"first", msg_id="1")
    with pytest.raises(QueueFull):
        await bus.queues.enqueue(f"{name}.r.1", b"second", msg_id="2")
    assert await bus.queues.enqueue(f"{name}.r.1", b"first", msg_id="1") == sequence
    assert await bus.queues.enqueue(f"{name}.r.2", b"other")
    assert (await bus.queues.peek(name, sequence)).body == b"first"


async def test_the_oldest_message_of_a_subject_is_found_and_removed_by_its_place(bus, jobs, name):
    first = await bus.queues.enqueue(f"{jobs}.a.1", b"first", {"X": "y"})
    second = await bus.queues.enqueue(f"{jobs}.a.2", b"second")
    found = await bus.queues.oldest(jobs, f"{jobs}.a.*")
    assert (found.sequence, found.message.body, found.message.headers["X"]) == (first, b"first", "y")
    assert (await bus.queues.oldest(jobs, f"{jobs}.a.2")).sequence == second
    assert await bus.queues.remove(jobs, first)
    assert not await bus.queues.remove(jobs, first)
    assert (await bus.queues.oldest(jobs, f"{jobs}.a.*")).sequence == second
    assert await bus.queues.oldest(jobs, f"{jobs}.b") is None
    assert await bus.queues.oldest(f"{name}x", "anything") is None


async def test_a_stream_may_drop_the_oldest(bus, name):
    await bus.queues.ensure_stream(
        StreamSpec(name=name, subjects=(f"{name}.>",), kind="log", memory=True, max_per_subject=1, discard_new=False)
    )
    first = await bus.queues.enqueue(f"{name}.r", b"1")
    second = await bus.queues.enqueue(f"{name}.r", b"2")
    assert await bus.queues.peek(name, first) is None
    assert (await bus.queues.peek(name, second)).body == b"2"


async def test_a_message_id_is_stored_once(bus, other, jobs, collect):
    sequences = await asyncio.gather(
        *(each.queues.enqueue(f"{jobs}.a", b"", msg_id="same") for each in (bus, other) for _ in range(5))
    )
    assert len(set(sequences)) == 1
    assert await bus.queues.enqueue(f"{jobs}.a", b"", msg_id="another") not in sequences
    await consumer(bus, jobs)
    assert (await bus.queues.lag(jobs, "c")).pending == 2


async def test_no_stream_no_enqueue(bus, name):
    with pytest.raises(ConnectionError):
        await bus.queues.enqueue(f"{name}.nowhere", b"", timeout=0.3)


async def test_messages_wait_for_a_consumer(bus, jobs, collect):
    """What scaling from zero needs: no consumer yet, and nothing is dropped."""
    for n in range(3):
        await bus.queues.enqueue(f"{jobs}.app.f.{n}", b"")
    await consumer(bus, jobs, subject=f"{jobs}.app.f.*")
    assert (await bus.queues.lag(jobs, "c")).pending == 3


async def test_lag_counts(bus, other, jobs, collect):
    await consumer(bus, jobs)
    for _ in range(5):
        await bus.queues.enqueue(f"{jobs}.a", b"")
    assert await bus.queues.lag(jobs, "c") == await other.queues.lag(jobs, "c")
    got, room = collect(), [2]

    def take(delivery):
        room[0] -= 1
        got(delivery)

    other.queues.pull(reader(jobs), lambda: room[0], take)
    await got.reach(2)
    lag = await bus.queues.lag(jobs, "c")
    assert (lag.pending, lag.unsettled, lag.waiting) == (3, 2, 0)


async def test_lag_counts_who_waits(bus, other, jobs, collect):
    await consumer(bus, jobs)
    other.queues.pull(reader(jobs), lambda: 3, collect())
    async with asyncio.timeout(5):
        while (await bus.queues.lag(jobs, "c")).waiting != 1:  # a server takes requests in behind its other work
            await other.flush()


async def test_missing_things_are_told(bus, jobs):
    with pytest.raises(NotFoundError):
        await bus.queues.lag(jobs, "missing")
    with pytest.raises(NotFoundError):
        await bus.queues.lag(f"{jobs}x", "missing")
    with pytest.raises(NotFoundError):
        await bus.queues.peek(f"{jobs}x", 1)
    with pytest.raises(NotFoundError):
        await bus.queues.purge(f"{jobs}x", "a")
    with pytest.raises(NotFoundError):
        await bus.queues.ensure_consumer(ConsumerSpec(stream=f"{jobs}x", name="c", subject="a"))
    assert await bus.queues.peek(jobs, 12) is None
    await bus.queues.delete_consumer(jobs, "missing")


async def test_ensure_may_be_repeated(bus, other, name):
    spec = StreamSpec(name=name, subjects=(f"{name}.>",), memory=True, max_age=10)
    for each in (bus, other, bus):
        await each.queues.ensure_stream(spec)
        await consumer(each, name)
    await consumer(other, name, ack_wait=5)
    await other.queues.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.>",), memory=True, max_bytes=1 << 20))


async def test_ensure_refuses_another_kind(bus, jobs):
    with pytest.raises(ConflictError):
        await bus.queues.ensure_stream(StreamSpec(name=jobs, subjects=(f"{jobs}.>",), kind="log", memory=True))
    with pytest.raises(ConflictError):
        await bus.queues.ensure_stream(StreamSpec(name=f"{jobs}x", subjects=(f"{jobs}.a",), memory=True))


async def test_a_stream_of_a_newer_layout_is_refused(bus, other, name):
    spec = StreamSpec(name=name, subjects=(f"{name}.>",), memory=True, layout=2)
    await bus.queues.ensure_stream(spec)
    await other.queues.ensure_stream(spec)
    with pytest.raises(VersionError, match="Upgrade busfn"):
        await other.queues.ensure_stream(replace(spec, layout=1))
    await other.queues.ensure_stream(replace(spec, layout=3))
    with pytest.raises(VersionError):
        await bus.queues.ensure_stream(spec)


async def test_an_upgrade_keeps_messages_and_readers(bus, other, name, collect):
    old = StreamSpec(name=name, subjects=(f"{name}.>",), memory=True)
    await bus.queues.ensure_stream(old)
    await consumer(bus, name)
    for number in range(3):
        await bus.queues.enqueue(f"{name}.f.{number}", b"")
    got = collect()
    puller = bus.queues.pull(reader(name), lambda: 1 - len(got.items), got)
    [taken] = await got.reach(1)
    new = replace(old, layout=1, republish=(f"{name}.>", f"w{name}.>", True))
    await asyncio.gather(*(each.queues.ensure_stream(new) for each in (bus, other, bus, other)))
    told = collect()
    await other.subscribe(f"w{name}.>", told)
    await other.queues.ensure_consumer(ConsumerSpec(stream=name, name="c", subject=f"{name}.>", ack_wait=5))
    await bus.queues.enqueue(f"{name}.f.3", b"")
    await told.reach(1)
    assert await bus.queues.lag(name, "c") == Lag(3, 1, 0)
    bus.queues.settle(taken.token, Verdict.ACK)
    await puller.stop()
    everything = collect()
    rest = other.queues.pull(reader(name), lambda: 10, everything)
    assert [each.message.subject for each in await everything.reach(3)] == [f"{name}.f.{n}" for n in (1, 2, 3)]
    await rest.stop()


async def test_two_consumers_cannot_read_the_same(bus, jobs):
    await consumer(bus, jobs, subject=f"{jobs}.a.*")
    with pytest.raises(ConflictError):
        await bus.queues.ensure_consumer(ConsumerSpec(stream=jobs, name="d", subject=f"{jobs}.a.b"))
    await bus.queues.ensure_consumer(ConsumerSpec(stream=jobs, name="d", subject=f"{jobs}.b.*"))


async def test_purge_removes_what_matches(bus, jobs, collect):
    await consumer(bus, jobs)
    for call in ("one", "two", "two", "three"):
        await bus.queues.enqueue(f"{jobs}.f.{call}", b"")
    assert await bus.queues.purge(jobs, f"{jobs}.f.two") == 2
    assert await bus.queues.purge(jobs, f"{jobs}.f.two") == 0
    assert (await bus.queues.lag(jobs, "c")).pending == 2
    assert await bus.queues.purge(jobs, f"{jobs}.f.*") == 2
    assert (await bus.queues.lag(jobs, "c")).pending == 0


@pytest.mark.parametrize("count", [1, 3, 40])
async def test_withdrawn_messages_are_gone(bus, jobs, collect, count):
    await consumer(bus, jobs)
    for _ in range(count):
        await bus.queues.enqueue(f"{jobs}.f.two", b"")
    await bus.queues.enqueue(f"{jobs}.f.one", b"")
    await bus.queues.withdraw(jobs, f"{jobs}.f.two")
    await bus.queues.withdraw(jobs, f"{jobs}.f.two")
    got = collect()
    bus.queues.pull(reader(jobs), lambda: 50, got)
    assert [d.message.subject for d in await got.reach(1)] == [f"{jobs}.f.one"]
    assert (await bus.queues.lag(jobs, "c")).pending == 0


async def test_the_same_may_be_withdrawn_by_several_at_a_time(bus, jobs):
    await consumer(bus, jobs)
    for _ in range(12):
        await bus.queues.enqueue(f"{jobs}.f.two", b"")
    await asyncio.gather(*(bus.queues.withdraw(jobs, f"{jobs}.f.two") for _ in range(4)))
    assert await bus.queues.subjects(jobs, f"{jobs}.>") == []


async def test_what_was_given_back_does_not_wait_because_something_else_is_withdrawn(bus, jobs, collect):
    """A purge would make it wait for its lease of 30 s."""
    await consumer(bus, jobs)
    first = collect()
    puller = bus.queues.pull(reader(jobs), lambda: 2, first)
    await bus.queues.enqueue(f"{jobs}.f.kept", b"")
    await bus.queues.enqueue(f"{jobs}.f.gone", b"")
    deliveries = await first.reach(2)
    await puller.stop()
    for delivery in deliveries:
        bus.queues.settle(delivery.token, Verdict.NAK)
    await bus.flush()
    await bus.queues.withdraw(jobs, f"{jobs}.f.gone")
    second = collect()
    bus.queues.pull(reader(jobs), lambda: 2, second)
    assert [d.message.subject for d in await second.reach(1)] == [f"{jobs}.f.kept"]


async def test_old_messages_go(bus, name):
    await bus.queues.ensure_stream(
        StreamSpec(name=name, subjects=(f"{name}.>",), kind="log", memory=True, max_age=3600, allow_ttl=True)
    )
    kept = await bus.queues.enqueue(f"{name}.a", b"kept")
    sequence = await bus.queues.enqueue(f"{name}.a", b"", {"Nats-TTL": "1s"})
    async with asyncio.timeout(5):
        while await bus.queues.peek(name, sequence) is not None:
            await asyncio.sleep(0.05)
    assert await bus.queues.peek(name, kept) is not None


async def test_stored_messages_are_republished(bus, other, name, collect):
    await bus.queues.ensure_stream(
        StreamSpec(
            name=name, subjects=(f"{name}.job.>",), memory=True, republish=(f"{name}.job.>", f"{name}.wake.>", True)
        )
    )
    got = collect()
    await other.subscribe(f"{name}.wake.>", got)
    sequence = await bus.queues.enqueue(f"{name}.job.a.f", b"12345", {"X": "y"})
    [message] = await got.reach(1)
    assert message.subject == f"{name}.wake.a.f"
    assert message.body == b""
    assert message.headers["X"] == "y"
    assert (message.headers["Nats-Sequence"], message.headers["Nats-Msg-Size"]) == (str(sequence), "5")


async def test_a_deleted_consumer_is_made_again_under_its_puller(bus, other, jobs, collect):
    await consumer(bus, jobs)
    got = collect()
    other.queues.pull(reader(jobs), lambda: 1, lambda d: (other.queues.settle(d.token, Verdict.ACK), got(d)))
    await bus.queues.enqueue(f"{jobs}.a", b"")
    await got.reach(1)
    await bus.queues.delete_consumer(jobs, "c")
    await bus.queues.enqueue(f"{jobs}.a", b"")
    await got.reach(2, timeout=20)  # a pull that was on its way while the consumer went is missed by its heartbeat only


async def test_a_puller_makes_a_consumer_that_is_not_there(bus, other, jobs, collect):
    got = collect()
    await bus.queues.enqueue(f"{jobs}.a", b"")
    other.queues.pull(reader(jobs), lambda: 1, got)
    await got.reach(1, timeout=5)


async def test_plain_publishes_are_stored_too(bus, other, jobs, collect):
    """Any NATS client can spawn."""
    answer = await other.request(f"{jobs}.a", b"foreign")
    assert b'"seq"' in answer.body
    other.publish(f"{jobs}.a", b"silent")
    await consumer(bus, jobs)
    await other.flush()
    assert (await bus.queues.lag(jobs, "c")).pending == 2


async def test_the_latest_message_of_a_subject_can_be_read(bus, jobs):
    assert await bus.queues.latest(jobs, f"{jobs}.a") is None
    for body in (b"1", b"2"):
        await bus.queues.enqueue(f"{jobs}.a", body, {"N": body.decode()})
    await bus.queues.enqueue(f"{jobs}.b", b"3")
    stored = await bus.queues.latest(jobs, f"{jobs}.a")
    assert (stored.subject, stored.body, stored.headers["N"]) == (f"{jobs}.a", b"2", "2")
    await bus.queues.purge(jobs, f"{jobs}.a")
    assert await bus.queues.latest(jobs, f"{jobs}.a") is None


async def test_the_subjects_of_a_stream_can_be_listed(bus, jobs):
    for token in ("b", "a.x", "a.y", "b"):
        await bus.queues.enqueue(f"{jobs}.{token}", b"")
    assert await bus.queues.subjects(jobs, f"{jobs}.>") == [f"{jobs}.a.x", f"{jobs}.a.y", f"{jobs}.b"]
    assert await bus.queues.subjects(jobs, f"{jobs}.a.*") == [f"{jobs}.a.x", f"{jobs}.a.y"]
    assert await bus.queues.subjects("nothere", ">") == []


def batch(jobs, count, size=1):
    return [
        Outgoing(subject=f"{jobs}.a.{n}", body=b"x" * size, headers={"N": str(n)}, msg_id=f"{jobs}-{n}")
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 1000])
async def test_many_messages_are_stored_at_once_and_in_order(bus, other, jobs, collect, count):
    await consumer(bus, jobs)
    got = collect()
    other.queues.pull(reader(jobs), lambda: 2000, lambda d: (other.queues.settle(d.token, Verdict.ACK), got(d)))
    await bus.queues.enqueue_all(batch(jobs, count))
    deliveries = await got.reach(count)
    assert [delivery.message.headers["N"] for delivery in deliveries] == [str(n) for n in range(count)]
    await settled(bus, jobs)


async def test_messages_that_are_stored_at_once_are_stored_once(bus, jobs):
    await bus.queues.enqueue_all(batch(jobs, 10))
    await bus.queues.enqueue_all(batch(jobs, 10))
    assert await bus.queues.purge(jobs, f"{jobs}.>") == 10


async def test_messages_that_do_not_all_fit_are_not_stored(bus, name):
    await bus.queues.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.>",), memory=True, max_bytes=50_000))
    with pytest.raises(QueueFull):
        await bus.queues.enqueue_all(batch(name, 20, size=5_000))
    assert await bus.queues.purge(name, f"{name}.>") == 0


async def test_messages_are_stored_each_for_itself(bus, other, name):
    spec = StreamSpec(name=name, subjects=(f"{name}.>",), kind="log", max_per_subject=1, allow_direct=True)
    await bus.queues.ensure_stream(spec)

    def message(n, body=b"first"):
        return Outgoing(subject=f"{name}.{n}", body=body, headers={"N": str(n)}, msg_id="")

    assert await bus.queues.enqueue_each([]) == []
    assert await bus.queues.enqueue_each([message(n) for n in range(200)]) == list(range(1, 201))
    again = await other.queues.enqueue_each([message(n, b"second") for n in (5, 200, 7, 201)])
    assert again == [0, 201, 0, 202]
    found = await bus.queues.latest_each(name, [f"{name}.{n}" for n in (5, 200)])
    assert [found[f"{name}.{n}"].body for n in (5, 200)] == [b"first", b"second"]
    assert found[f"{name}.200"].headers["N"] == "200"
    twice = Outgoing(subject=f"{name}.id", body=b"", headers={}, msg_id="one")
    assert await bus.queues.enqueue_each([twice, twice]) == [203, 203]


async def test_each_for_itself_a_full_stream_and_no_stream_are_errors(bus, name):
    with pytest.raises(ConnectionError):
        await bus.queues.enqueue_each([Outgoing(subject=f"{name}.1", body=b"", headers={}, msg_id="")], timeout=0.2)
    await bus.queues.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.>",), max_bytes=20_000))
    large = Outgoing(subject=f"{name}.1", body=b"x" * 30_000, headers={}, msg_id="")
    with pytest.raises(QueueFull):
        await bus.queues.enqueue_each([large])


async def test_the_last_messages_of_many_subjects_are_read_at_once(bus, other, name):
    await bus.queues.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.>",), kind="log", allow_direct=True))
    for n in range(300):
        await bus.queues.enqueue(f"{name}.{n}", b"%d" % n, {"N": str(n)})
    await bus.queues.enqueue(f"{name}.7", b"again")
    wanted = [f"{name}.{n}" for n in range(0, 400, 3)] + [f"{name}.7"]
    found = await other.queues.latest_each(name, wanted)
    assert sorted(found) == sorted(subject for subject in wanted if int(subject.rpartition(".")[2]) < 300)
    assert found[f"{name}.7"].body == b"again"
    assert (found[f"{name}.9"].body, found[f"{name}.9"].headers["N"]) == (b"9", "9")
    with pytest.raises(NotFoundError):
        await other.queues.latest_each(f"{name}x", wanted)


async def test_many_large_messages_are_all_read_or_as_many_as_are_wanted(bus, other, name):
    """A server sends no more than fits into one answer, and says that there is more."""
    await bus.queues.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.>",), kind="log", allow_direct=True))
    subjects = [f"{name}.{n}" for n in range(50)]
    for subject in subjects:
        await bus.queues.enqueue(subject, bytes(400 << 10))
    assert sorted(await other.queues.latest_each(name, [*subjects, f"{name}.50"])) == sorted(subjects)
    some = await other.queues.latest_each(name, subjects[::-1], most_bytes=2 << 20)
    assert 4 <= len(some) <= 6
    assert set(some) == set(subjects[: len(some)])  # the oldest
    assert list(await other.queues.latest_each(name, subjects, most_bytes=1)) == subjects[:1]
