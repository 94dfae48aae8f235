"""Keeping the connection: whatever happens to it, subscriptions, pulls and messages go on."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from readers import reader

from busfn.bus import connection as connection_module
from busfn.bus import pull as pull_module
from busfn.bus import session as session_module
from busfn.bus.base import StreamSpec, Verdict
from busfn.bus.core import connect
from busfn.config import BusAddress
from busfn.errors import ConnectionError

pytestmark = pytest.mark.anyio


async def until(condition, timeout: float = 10.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


async def ready_queue(bus, name: str) -> None:
    await bus.queues.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.>",)))
    await bus.queues.ensure_consumer(reader(name))


async def test_a_restart_of_the_server_is_survived(restartable, connected, name, collect):
    server = restartable()
    bus, other = await connected(server.address), await connected(server.address)
    await ready_queue(bus, name)
    got, delivered, renewed = collect(), collect(), collect()
    await other.subscribe("plain", got, queue="q")
    other.queues.pull(reader(name), lambda: 5, lambda d: (other.queues.settle(d.token, Verdict.ACK), delivered(d)))
    other.on_reconnect(lambda: renewed(other.connected))
    bus.on_reconnect(lambda: renewed(bus.connected))
    os.kill(server.pid, signal.SIGKILL)
    await until(lambda: not bus.connected and not other.connected)
    bus.publish("plain", b"while down")
    enqueuing = [asyncio.create_task(bus.queues.enqueue(f"{name}.a", b"%d" % n)) for n in range(20)]
    server.stop()
    await asyncio.to_thread(restartable)
    assert await renewed.reach(2) == [True, True]
    await asyncio.gather(*enqueuing)
    deliveries = await delivered.reach(20)
    assert sorted(int(delivery.message.body) for delivery in deliveries) == list(range(20))
    bus.publish("plain", b"up again")
    bodies = [message.body for message in await got.reach(1)]
    await bus.flush()
    await other.flush()
    bodies = [message.body for message in got.items]
    # What was sent while down reaches whoever is subscribed by then: `other` may have come back later than `bus`.
    assert bodies in ([b"while down", b"up again"], [b"up again"])


async def test_stored_messages_survive_a_kill_of_the_server(restartable, connected, name, collect):
    """Enqueued means stored, and stored once, with the server killed in the middle of it all."""
    server = restartable()
    bus = await connected(server.address)
    await ready_queue(bus, name)
    stored = collect()

    async def enqueue(n: int) -> None:
        stored(await bus.queues.enqueue(f"{name}.a", b"%d" % n, timeout=20))

    tasks = [asyncio.create_task(enqueue(n)) for n in range(300)]
    await stored.reach(20)
    os.kill(server.pid, signal.SIGKILL)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(restartable)
    await asyncio.gather(*tasks)
    assert len(set(stored.items)) == 300
    got = collect()
    bus.queues.pull(reader(name), lambda: 50, lambda d: (bus.queues.settle(d.token, Verdict.ACK), got(d)))
    await got.reach(300)
    await asyncio.sleep(0.1)
    assert sorted(int(delivery.message.body) for delivery in got.items) == list(range(300))


async def test_what_waits_for_a_connection_is_bounded(restartable, connected):
    server = restartable()
    bus = await connected(server.address)
    server.stop()
    await until(lambda: not bus.connected)
    for _ in range(16):
        bus.publish("a", b"x" * 500_000)
    with pytest.raises(ConnectionError, match="8 MiB"):
        bus.publish("a", b"x" * 500_000)
    with pytest.raises(ConnectionError):
        await bus.flush(timeout=0.1)
    writing = asyncio.create_task(bus.writable())
    await asyncio.sleep(0.05)
    assert not writing.done()
    await bus.close()
    await writing


async def test_requests_while_down_are_answered_later(restartable, connected):
    server = restartable()
    bus, other = await connected(server.address), await connected(server.address)
    await other.subscribe("echo", lambda m: other.publish(m.reply, m.body))
    server.stop()
    await until(lambda: not bus.connected and not other.connected)
    await asyncio.to_thread(restartable)
    await until(lambda: bus.connected and other.connected)
    await other.flush()  # the server knows of its subscription again
    assert (await bus.request("echo", b"x", timeout=10)).body == b"x"


@pytest.mark.parametrize("line", [b"-ERR 'User Authentication Expired'\r\n", b"-ERR 'Maximum Payload Violation'\r\n"])
async def test_an_error_that_ends_the_connection_is_survived(scripted, line):
    """nats-py closes for good on any such line."""
    bus = await connect(await scripted.start(), name="test")
    again = asyncio.Event()
    bus.on_reconnect(again.set)
    await bus.subscribe("some.subject", print, queue="q")
    scripted.say(line)
    scripted.hang_up()
    async with asyncio.timeout(5):
        await again.wait()
    subscribed = [received for received in scripted.received if received.startswith(b"SUB some.subject q")]
    assert (scripted.connections, len(subscribed)) == (2, 2)
    await bus.close()


async def test_garbage_ends_the_connection_and_not_the_bus(scripted):
    bus = await connect(await scripted.start(), name="test")
    again = asyncio.Event()
    bus.on_reconnect(again.set)
    scripted.say(b"WHAT is this\r\n")
    async with asyncio.timeout(5):
        await again.wait()
    scripted.say(b"MSG broken\r\n")
    again.clear()
    async with asyncio.timeout(5):
        await again.wait()
    assert scripted.connections == 3
    await bus.close()


async def test_a_late_answer_to_an_abandoned_flush_is_ignored(scripted):
    """In nats-py it raises in the read loop, which ends; the client looks connected and hears nothing."""
    bus = await connect(await scripted.start(), name="test")
    scripted.silent = True
    with pytest.raises(ConnectionError):
        await bus.flush(timeout=0.05)
    scripted.silent = False
    scripted.say(b"PONG\r\n")
    await bus.flush()
    assert scripted.connections == 1
    scripted.say(b"PONG\r\nPONG\r\n+OK\r\nPING\r\n")
    await bus.flush()
    await until(lambda: b"PONG\r\n" in scripted.received)
    await bus.close()


async def test_a_frozen_server_is_noticed(restartable, connected, monkeypatch):
    """The socket stays open, and nobody answers."""
    server = restartable()
    monkeypatch.setattr(connection_module, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(session_module, "_ATTEMPT", 0.3)
    bus = await connected(server.address)
    again = asyncio.Event()
    bus.on_reconnect(again.set)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        await until(lambda: not bus.connected, timeout=5)
        with pytest.raises(ConnectionError):
            await bus.flush(timeout=0.2)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    async with asyncio.timeout(10):
        await again.wait()
    await bus.flush()


async def test_connections_that_break_at_once_are_tried_again(scripted):
    """A connection lost during the restoring barrier must not end the restoring."""
    bus = await connect(await scripted.start(), name="test")
    again = asyncio.Event()
    bus.on_reconnect(again.set)
    scripted.info["version"] = "2.0.0"
    scripted.hang_up()
    await until(lambda: scripted.connections > 3)
    scripted.info["version"] = "2.15.1"
    async with asyncio.timeout(10):
        await again.wait()
    await bus.close()


async def test_closing_while_down_is_quick(restartable, connected):
    server = restartable()
    bus = await connected(server.address)
    waiting = asyncio.create_task(bus.flush(30))
    server.stop()
    await until(lambda: not bus.connected)
    async with asyncio.timeout(3):
        await bus.close()
    with pytest.raises(Exception, match=r"closed|lost"):
        await waiting


async def test_another_server_of_the_cluster_takes_over(launch, collect):
    """Servers tell of one another; one that is about to stop is left."""
    route = "cluster {{ name: c, listen: 127.0.0.1:{}, {} }}"
    first = launch(jetstream=False, token="t", extra_config="server_name: a\n" + route.format(-1, ""))
    listening = "Listening for route connections"
    await until(lambda: any(listening in line for line in first.log))
    port = next(line.rpartition(":")[2] for line in first.log if listening in line)
    peer = f'routes: ["nats://127.0.0.1:{port}"]'
    second = launch(jetstream=False, token="t", extra_config="server_name: b\n" + route.format(-1, peer))
    bus = await connect(BusAddress(servers=first.address.servers, token="t"), name="test")
    got, again = collect(), asyncio.Event()
    bus.on_reconnect(again.set)
    await bus.subscribe("a", got)
    await until(lambda: len(bus._session._servers()) > 1)
    os.kill(first.pid, signal.SIGUSR2)  # lame duck mode
    async with asyncio.timeout(8):
        await again.wait()
    assert bus._session._connection.server.endswith(f":{second.port}")
    other = await connect(second.address, name="other")
    other.publish("a")
    await got.reach(1)
    await other.close()
    await bus.close()


async def test_a_pull_that_the_server_forgot_is_repeated(connected, address, name, collect, monkeypatch):
    """No heartbeat comes for a pull that is not there."""
    monkeypatch.setattr(pull_module, "HEARTBEAT", 0.2)
    bus = await connected(address)
    await ready_queue(bus, name)
    publish, lost = bus.publish, collect()

    def swallow_first(subject, *args, **options):
        if ".MSG.NEXT." in subject and not lost.items:
            return lost(subject)
        return publish(subject, *args, **options)

    monkeypatch.setattr(bus, "publish", swallow_first)
    got = collect()
    bus.queues.pull(reader(name), lambda: 1, got)
    await bus.queues.enqueue(f"{name}.a", b"")
    await got.reach(1, timeout=5)
    assert lost.items


async def test_an_expired_pull_is_repeated(connected, address, name, collect, monkeypatch):
    monkeypatch.setattr(pull_module, "HEARTBEAT", 0.1)
    monkeypatch.setattr(pull_module, "EXPIRES", 0.3)
    bus = await connected(address)
    await ready_queue(bus, name)
    got = collect()
    puller = bus.queues.pull(reader(name), lambda: 3, got)
    await until(lambda: puller._pulls >= 3)
    assert puller._asked <= 3
    for _ in range(3):
        await bus.queues.enqueue(f"{name}.a", b"")
    await got.reach(3, timeout=5)


async def test_tokens_of_the_second_form(launch, connected, name, collect):
    """A feature flag puts domain and account hash into ack subjects."""
    server = launch(extra_config="feature_flags { js_ack_fc_v2: true }\n")
    bus = await connected(server.address)
    await ready_queue(bus, name)
    got = collect()
    bus.queues.pull(reader(name), lambda: 1, got)
    sequence = await bus.queues.enqueue(f"{name}.a", b"")
    [first] = await got.reach(1)
    assert len(first.token.split(".")) >= 11
    assert (first.sequence, first.deliveries) == (sequence, 1)
    bus.queues.settle(first.token, Verdict.NAK)
    _, second = await got.reach(2)
    assert (second.sequence, second.deliveries) == (sequence, 2)
    await bus.queues.confirm(second.token)
    assert await bus.queues.peek(name, sequence) is None
