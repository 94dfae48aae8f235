"""What waits for the bus comes to its end while the bus is there, and no later than told when it is not."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from busfn.bus.server import EmbeddedServer
from busfn.errors import ServiceError
from busfn_services.farewell import while_there

pytestmark = pytest.mark.anyio


@pytest.fixture
def frail():
    """A server that the test may hurt."""
    server = EmbeddedServer.launch().wait_ready()
    yield server
    os.kill(server.pid, signal.SIGKILL)
    server.stop()


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_work_comes_to_its_end_however_short_the_grace(connected, address, collect) -> None:
    bus, done = await connected(address), collect()

    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(0.3)  # longer than it takes to look at the bus
            await bus.flush()
        done("ended")

    assert await while_there(bus, work(), 0.0)
    assert done.items == ["ended"]


async def test_what_work_raises_is_raised(connected, address) -> None:
    async def work() -> None:
        raise ServiceError("it broke")

    with pytest.raises(ServiceError, match="it broke"):
        await while_there(await connected(address), work(), 5.0)


@pytest.mark.parametrize("hurt", [signal.SIGKILL, signal.SIGSTOP])
async def test_work_is_given_up_when_the_bus_goes(connected, frail, hurt: signal.Signals) -> None:
    bus = await connected(frail.address)
    ending = asyncio.create_task(while_there(bus, for_ever(), 0.1))
    await asyncio.sleep(0)
    assert not ending.done()
    os.kill(frail.pid, hurt)
    assert not await asyncio.wait_for(ending, 30)


async def test_work_may_end_in_its_grace(connected, frail) -> None:
    bus, gate = await connected(frail.address), asyncio.Event()

    async def work() -> None:
        await gate.wait()

    ending = asyncio.create_task(while_there(bus, work(), 30.0))
    os.kill(frail.pid, signal.SIGKILL)
    while bus.connected:
        await asyncio.sleep(0.01)
    gate.set()
    assert await asyncio.wait_for(ending, 25)
