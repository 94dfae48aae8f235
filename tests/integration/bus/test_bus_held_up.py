"""Requests of somebody whose loop could not run for longer than they may take: their answers are there, unread."""

from __future__ import annotations

import asyncio
import time

import pytest

from busfn.bus.base import Outgoing, StreamSpec
from busfn.errors import ConnectionError

pytestmark = pytest.mark.anyio

BRIEF = 0.2
FLOOD = bytes(512 << 10)
"""More than a loop reads in one turn."""


async def flood(bus, name):
    """Have the bus send us a lot, so that what it answers later is behind it."""
    await bus.subscribe(f"{name}.flood", lambda message: None)
    for _ in range(4):
        bus.publish(f"{name}.flood", FLOOD)


async def hold_up():
    await asyncio.sleep(0)  # the request leaves
    await asyncio.sleep(0)
    time.sleep(BRIEF + 1.0)  # what a thread that keeps the GIL does to the loop


async def test_the_answer_to_a_request_counts(connected, address, name):
    bus = await connected(address)
    await flood(bus, name)
    request = asyncio.create_task(bus.request("$JS.API.INFO", timeout=BRIEF))
    await hold_up()
    assert b"memory" in (await request).body


async def test_the_answers_to_messages_that_are_stored_together_count(connected, address, name):
    bus = await connected(address)
    await bus.queues.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.stored",), memory=True))
    await flood(bus, name)
    messages = [Outgoing(subject=f"{name}.stored", body=b"", headers={}, msg_id="") for _ in range(3)]
    asked = asyncio.create_task(bus.ask_each(messages, timeout=BRIEF))
    await hold_up()
    assert not any(isinstance(answer, ConnectionError) for answer in await asked)


async def test_a_request_that_nobody_answers_ends_all_the_same(connected, address, name):
    bus = await connected(address)
    await bus.subscribe(f"{name}.silent", lambda message: None)
    request = asyncio.create_task(bus.request(f"{name}.silent", timeout=BRIEF))
    await hold_up()
    with pytest.raises(ConnectionError, match="no answer"):
        await request
