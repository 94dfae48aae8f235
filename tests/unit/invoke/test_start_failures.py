"""Waiters hear that workers do not start; what is listened for is bounded."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.invoke.link import Link
from busfn.invoke.start_failures import MAX_HEARD, StartFailures
from busfn.protocol.codecs import Codecs
from busfn.protocol.control import StartFailure
from busfn.protocol.names import Target
from busfn.protocol.subjects import Subjects
from busfn.sync import LoopThread

pytestmark = pytest.mark.anyio

F = Target("shop", "f")


@pytest.fixture
async def bus(anyio_backend: object) -> MemoryBus:
    return MemoryBus(MemoryBroker())


@pytest.fixture
async def failures(bus: MemoryBus) -> StartFailures:
    return StartFailures(Link(portal=cast(LoopThread, None), bus=bus, subjects=Subjects(), codecs=Codecs()))


async def settle(bus: MemoryBus) -> None:
    for _ in range(5):
        await asyncio.sleep(0)
        await bus.flush()


async def say(bus: MemoryBus, function: str, body: bytes) -> None:
    bus.publish(Subjects().down("shop", function), body)
    await settle(bus)


async def test_a_waiter_is_told_until_it_stops_waiting(bus: MemoryBus, failures: StartFailures) -> None:
    heard: list[StartFailure] = []
    stop = failures.watch(F, heard.append)
    other = failures.watch(Target("shop", "g"), heard.append)
    await settle(bus)
    failure = StartFailure(failures=2, text="no such driver")
    await say(bus, "f", failure.encode())
    assert heard == [failure]
    for noise in (b"", b"{}", b'{"failures": -1, "text": ""}', b'{"failures": 1, "text": "' + b"x" * 100_000 + b'"}'):
        await say(bus, "f", noise)
    stop()
    await say(bus, "f", failure.encode())
    assert heard == [failure]
    other()


async def test_functions_that_nobody_waits_for_are_forgotten(bus: MemoryBus, failures: StartFailures) -> None:
    heard: list[StartFailure] = []
    for number in range(2 * MAX_HEARD):
        failures.watch(Target("shop", f"f{number}"), heard.append)()
        await settle(bus)
    failures.watch(F, heard.append)
    await settle(bus)
    assert len(failures._ears) <= MAX_HEARD + 1
    await say(bus, "f", StartFailure(failures=2, text="x").encode())
    assert len(heard) == 1
