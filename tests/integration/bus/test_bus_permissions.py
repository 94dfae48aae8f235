"""Refused subjects: whoever caused it is told at once, where nats-py lets them wait for a timeout."""

from __future__ import annotations

import asyncio

import pytest

from busfn.bus.base import StreamSpec
from busfn.bus.core import connect
from busfn.config import BusAddress
from busfn.errors import ConflictError, PermissionDeniedError, ResourceExhaustedError

pytestmark = pytest.mark.anyio

CONFIG = """
accounts { APP { jetstream: enabled, users: [
  { user: all, password: p }
  { user: some, password: p, permissions: {
      publish: { allow: ["Fn.App.*", "_INBOX.>", "$JS.API.STREAM.INFO.*"] }
      subscribe: { allow: ["_INBOX.some.>", "fn.app.* busfn", "plain"] } } }
] } }
max_subscriptions: 12
"""


@pytest.fixture
def limited(launch):
    return launch(token="", extra_config=CONFIG)


@pytest.fixture
async def some(limited, connected):
    servers = limited.address.servers
    return await connected(BusAddress(servers=servers, user="some", password="p", inbox_prefix="_INBOX.some"))


@pytest.fixture
async def everything(limited, connected):
    return await connected(BusAddress(servers=limited.address.servers, user="all", password="p"))


async def test_a_refused_request_fails_at_once(some):
    async with asyncio.timeout(2):
        with pytest.raises(PermissionDeniedError, match=r"Secret\.Place"):
            await some.request("Secret.Place", timeout=30)


async def test_others_are_not_blamed(some, everything):
    await everything.subscribe("Fn.App.slow", lambda m: asyncio.get_running_loop().call_later(0.2, answer, m))

    def answer(message):
        everything.publish(message.reply, b"ok")

    asking = asyncio.create_task(some.request("Fn.App.slow", timeout=5))
    some.publish("not.allowed")
    with pytest.raises(PermissionDeniedError):
        await some.request("not.allowed", timeout=30)
    assert (await asking).body == b"ok"
    assert some.connected


async def test_a_refused_enqueue_fails_at_once(some, name):
    async with asyncio.timeout(2):
        with pytest.raises(PermissionDeniedError):
            await some.queues.enqueue(f"{name}.a", b"", timeout=30)
        with pytest.raises(PermissionDeniedError):
            await some.queues.ensure_stream(StreamSpec(name=name, subjects=(name,)))
        with pytest.raises(PermissionDeniedError):
            await some.table(name).put("k", b"")
        with pytest.raises(PermissionDeniedError):
            await some.blobs.get(name, 1, "")


async def test_a_refused_subscription_fails(some, everything, collect):
    with pytest.raises(PermissionDeniedError, match="secret"):
        await some.subscribe("secret", print)
    with pytest.raises(PermissionDeniedError):
        await some.subscribe("fn.app.f", print)
    got = collect()
    await some.subscribe("fn.app.f", got, queue="busfn")
    with pytest.raises(PermissionDeniedError):
        await some.subscribe("fn.app.f", print, queue="other")
    everything.publish("fn.app.f")
    await got.reach(1)


async def test_a_refused_inbox_is_explained(limited):
    address = BusAddress(servers=limited.address.servers, user="some", password="p")
    with pytest.raises(PermissionDeniedError, match="inbox_prefix"):
        await connect(address, name="test")


async def test_one_subscription_too_many_is_refused(everything, collect):
    """nats-py closes for good."""
    got = collect()
    first = await everything.subscribe("a.0", got)
    for n in range(1, 11):
        await everything.subscribe(f"a.{n}", got)
    with pytest.raises(ResourceExhaustedError):
        await everything.subscribe("a.11", got)
    everything.publish("a.0")
    await got.reach(1)
    await first.leave()
    await everything.subscribe("a.12", got)


async def test_a_stream_of_another_kind_is_refused(everything, name):
    await everything.queues.ensure_stream(StreamSpec(name=name, subjects=(name,), memory=True))
    with pytest.raises(ConflictError):
        await everything.queues.ensure_stream(StreamSpec(name=name, subjects=(name,)))
