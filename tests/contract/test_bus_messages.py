"""Publish, subscribe, request: what every bus does alike."""

from __future__ import annotations

import asyncio

import pytest

from busfn.errors import ClientClosed, ConnectionError, InvalidError, NoResponders, RequestSizeError

pytestmark = pytest.mark.anyio


async def test_messages_arrive_in_order(bus, other, name, collect):
    got = collect()
    await other.subscribe(f"{name}.a", got)
    for n in range(1000):
        bus.publish(f"{name}.a", b"%d" % n)
    messages = await got.reach(1000)
    assert [int(message.body) for message in messages] == list(range(1000))
    assert messages[0].subject == f"{name}.a"
    assert messages[0].reply == ""
    assert messages[0].headers == {}


async def test_headers_and_reply_arrive_as_they_were(bus, other, name, collect):
    got = collect()
    await other.subscribe(name, got)
    headers = {"Busfn-Call": "0190", "X-Text": "grün: é, 日本", "x-text": "lower", "Empty": ""}
    bus.publish(name, b"\x00\r\nbody\r\n", headers, f"{name}.reply")
    [message] = await got.reach(1)
    assert dict(message.headers) == headers
    assert message.body == b"\x00\r\nbody\r\n"
    assert message.reply == f"{name}.reply"


@pytest.mark.parametrize(
    ("pattern", "subject", "hit"),
    [
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.b", "a.b", True),
    ],
)
async def test_wildcards(bus, other, name, collect, pattern, subject, hit):
    got = collect()
    await other.subscribe(f"{name}.{pattern}", got)
    bus.publish(f"{name}.{subject}")
    await bus.flush()
    await other.flush()
    assert len(got.items) == hit


async def test_a_queue_group_gets_each_message_once(bus, make_bus, name, collect):
    members = [collect() for _ in range(3)]
    for member in members:
        await (await make_bus()).subscribe(name, member, queue="workers")
    everything = collect()
    await bus.subscribe(name, everything)
    for n in range(300):
        bus.publish(name, b"%d" % n)
    await everything.reach(300)
    async with asyncio.timeout(5):
        while sum(len(member.items) for member in members) < 300:
            await asyncio.sleep(0.01)
    got = sorted(int(message.body) for member in members for message in member.items)
    assert got == list(range(300))
    assert all(member.items for member in members)


async def test_a_broken_handler_hurts_nobody(bus, other, name, collect, caplog):
    def broken(message):
        raise ValueError("broken handler")

    got = collect()
    await other.subscribe(name, broken)
    await other.subscribe(name, got)
    bus.publish(name, b"1")
    bus.publish(name, b"2")
    await got.reach(2)
    assert "broken handler" in caplog.text


async def test_leaving_loses_nothing_that_was_sent_before(bus, other, name, collect):
    """nats-py loses queued messages when a subscription is drained or unsubscribed."""
    for _ in range(20):
        got = collect()
        subscription = await other.subscribe(name, got, queue="q")
        for n in range(200):
            bus.publish(name, b"%d" % n)
        await bus.flush()
        await subscription.leave()
        assert len(got.items) == 200
        bus.publish(name, b"late")
        await bus.flush()
        await other.flush()
        assert len(got.items) == 200
        await subscription.leave()


async def test_handing_a_group_over_loses_no_request(bus, make_bus, name):
    """Join before the other leaves: every request is answered, whoever is in the group."""
    members = [await make_bus() for _ in range(2)]

    def serve(member):
        return member.subscribe(name, lambda message: member.publish(message.reply, message.body), queue="q")

    current = await serve(members[0])
    asking = []
    for turn in range(20):
        asking += [asyncio.create_task(bus.request(name, b"", timeout=5)) for _ in range(20)]
        following = await serve(members[(turn + 1) % 2])
        asking += [asyncio.create_task(bus.request(name, b"", timeout=5)) for _ in range(20)]
        await current.leave()
        current = following
    assert len(await asyncio.gather(*asking)) == 800


async def test_flush_waits_until_what_was_sent_before_was_handled(bus, name, collect):
    """nats-py writes its PING ahead of what it has buffered."""
    got = collect()
    await bus.subscribe(name, got)
    for n in range(1, 51):
        bus.publish(name)
        await bus.flush()
        assert len(got.items) == n


async def test_a_cancelled_flush_does_no_harm(bus, name):
    """In nats-py the PONG for a cancelled flush ends the read loop."""
    for _ in range(5):
        flushing = asyncio.create_task(bus.flush())
        await asyncio.sleep(0)
        flushing.cancel()
    await bus.subscribe(name, lambda message: bus.publish(message.reply, b"alive"))
    assert (await bus.request(name)).body == b"alive"
    await bus.flush()


async def test_a_request_is_answered(bus, other, name):
    await other.subscribe(name, lambda message: other.publish(message.reply, message.body.upper(), {"A": "b"}))
    answer = await bus.request(name, b"hello")
    assert (answer.body, answer.headers["A"]) == (b"HELLO", "b")


async def test_nobody_there_is_told_at_once(bus, name):
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(NoResponders):
        await bus.request(name, timeout=10)
    assert loop.time() - started < 1


async def test_no_answer_ends_with_the_timeout(bus, other, name):
    await other.subscribe(name, lambda message: None)
    with pytest.raises(ConnectionError, match=r"within 0\.1 s") as caught:
        await bus.request(name, timeout=0.1)
    assert not isinstance(caught.value, NoResponders)


async def test_a_cancelled_request_leaves_nothing_behind(bus, other, name):
    await other.subscribe(name, lambda message: other.publish(message.reply, b"x"))
    for _ in range(10):
        asking = asyncio.create_task(bus.request(name))
        await asyncio.sleep(0)
        asking.cancel()
    with pytest.raises(RequestSizeError):
        await bus.request(name, b"z" * (2 << 20))
    assert (await bus.request(name)).body == b"x"
    assert not bus._slots


async def test_a_channel_gets_every_answer(bus, other, name, collect):
    def stream(message):
        for n in range(5):
            other.publish(message.reply, b"%d" % n)

    await other.subscribe(name, stream)
    got = collect()
    channel = bus.channel(got)
    bus.publish(name, reply=channel.subject)
    assert [message.body for message in await got.reach(5)] == [b"0", b"1", b"2", b"3", b"4"]
    channel.close()
    bus.publish(name, reply=channel.subject)
    await bus.flush()
    await other.flush()
    await bus.flush()
    assert len(got.items) == 5


async def test_a_channel_is_told_that_nobody_is_there(bus, name, collect):
    got = collect()
    channel = bus.channel(got)
    bus.publish(name, b"body", reply=channel.subject)
    [message] = await got.reach(1)
    assert message.headers["Status"] == "503"
    assert message.body == b""


async def test_whoever_sends_to_a_closed_bus_is_told(bus, make_bus, collect):
    """How a worker learns that the reader of its stream is gone."""
    caller = await make_bus()
    inbox = caller.channel(collect()).subject
    await caller.close()
    got = collect()
    reply = bus.channel(got).subject
    async with asyncio.timeout(10):
        while not got.items:  # the server may see the end of the other connection a moment later
            bus.publish(inbox, b"item", reply=reply)
            await bus.flush()
    assert got.items[0].headers["Status"] == "503"


async def test_too_large_is_refused_before_it_is_sent(bus, other, name, collect):
    """nats-py does not count headers, and the server then closes the connection for good."""
    got = collect()
    await other.subscribe(name, got)
    with pytest.raises(RequestSizeError):
        bus.publish(name, b"x" * (1 << 20), {"A": "b"})
    with pytest.raises(RequestSizeError):
        bus.publish(name, b"", {"A": "b" * (1 << 20)})
    bus.publish(name, b"x" * bus.max_body, {"A": "b" * 2000})
    [message] = await got.reach(1)
    assert len(message.body) == bus.max_body
    assert bus.connected


@pytest.mark.parametrize("subject", ["", ".", "a b", "a\r\nPUB x 0", "a..b", "a.", "a\tb", "a\0b"])
async def test_bad_subjects_are_refused(bus, subject):
    with pytest.raises(InvalidError):
        bus.publish(subject)
    with pytest.raises(InvalidError):
        bus.publish("ok", reply=subject or " ")
    with pytest.raises(InvalidError):
        await bus.subscribe(subject, print)


@pytest.mark.parametrize("pattern", ["a.>.b", "a*", "a.b>", ">.a"])
async def test_bad_patterns_are_refused(bus, pattern):
    with pytest.raises(InvalidError):
        await bus.subscribe(pattern, print)


@pytest.mark.parametrize("headers", [{"A": "b\r\nC: d"}, {"A\r\nB": "c"}, {"A:": "b"}, {"": "b"}, {"A b": "c"}])
async def test_headers_cannot_be_injected(bus, name, headers):
    with pytest.raises(InvalidError):
        bus.publish(name, b"", headers)


async def test_a_large_body_travels_whole(bus, other, name):
    body = bytes(range(256)) * 3500
    await other.subscribe(name, lambda message: other.publish(message.reply, message.body))
    answers = await asyncio.gather(*(bus.request(name, body) for _ in range(10)))
    assert all(answer.body == body for answer in answers)


async def test_writable_bounds_what_waits(bus, other, name, collect):
    got = collect()
    await other.subscribe(name, got)
    for _ in range(200):
        bus.publish(name, b"x" * 100_000)
        await bus.writable()
    await got.reach(200)


async def test_closing_ends_what_waits(make_bus, other, name):
    bus = await make_bus()
    await other.subscribe(name, lambda message: None)
    asking = asyncio.create_task(bus.request(name, timeout=30))
    await asyncio.sleep(0)
    await bus.close()
    with pytest.raises(ClientClosed):
        await asking
    await bus.close()
    assert not bus.connected
    with pytest.raises(ClientClosed):
        bus.publish(name)
    with pytest.raises(ClientClosed):
        await bus.request(name)
    with pytest.raises(ClientClosed):
        await bus.subscribe(name, print)
    with pytest.raises(ClientClosed):
        await bus.flush()


async def test_what_was_published_before_close_arrives(make_bus, other, name, collect):
    bus = await make_bus()
    got = collect()
    await other.subscribe(name, got)
    for _ in range(100):
        bus.publish(name, b"x" * 1000)
    await bus.close()
    await got.reach(100)
