"""Calls while the number of workers goes up and down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import nats
import pytest
import zero

pytestmark = pytest.mark.anyio

SUBJECT = "busfn.main.fn.zero.square"


@pytest.fixture(scope="module")
def zero_running() -> Iterator[None]:
    with zero.app.run():
        yield


async def test_every_call_is_answered_while_workers_come_and_go(zero_running: None) -> None:
    """The worker's scaledown window is 50 ms and the calls come in bursts with pauses: 0, 1, 0, 1 workers."""
    address = zero.app.binding.require("zero").address
    connection = await nats.connect(address.servers[0], token=address.token)
    try:
        pids: set[int] = set()
        for burst in range(6):
            numbers = range(burst * 100, burst * 100 + 100)
            answers = await asyncio.gather(*(connection.request(SUBJECT, str(i).encode(), timeout=20) for i in numbers))
            assert [int(answer.data) for answer in answers] == [i * i for i in numbers]
            pids.add(int((await connection.request("busfn.main.fn.zero.pid", timeout=20)).data))
            await _no_worker(connection, "zero-square")
        assert len(pids) == 6
    finally:
        await connection.close()


async def test_calls_at_a_steady_rate_are_answered_across_scale_downs(zero_running: None) -> None:
    address = zero.app.binding.require("zero").address
    connection = await nats.connect(address.servers[0], token=address.token)
    try:
        for i in range(60):  # about as far apart as the scaledown window and the controller's tick
            answer = await connection.request(SUBJECT, str(i).encode(), timeout=20)
            assert int(answer.data) == i * i
            await asyncio.sleep(0.005 * (i % 60))
    finally:
        await connection.close()


async def test_nobody_hears_of_what_is_queued_while_no_worker_can_be_added(zero_running: None) -> None:
    """The function may have one worker, whose scaledown window is 50 ms."""
    address = zero.app.binding.require("zero").address
    connection = await nats.connect(address.servers[0], token=address.token)
    try:
        assert await _is_heard(connection, "lonely")
        for _ in range(3):
            call = asyncio.create_task(connection.request("busfn.main.fn.zero.lonely", b"1.0", timeout=20))
            await _until(lambda: _is_heard(connection, "lonely"), False)
            await call
            await _until(lambda: _is_heard(connection, "lonely"), True)
    finally:
        await connection.close()


async def _is_heard(connection: nats.aio.client.Client, function: str) -> bool:
    """Whether anybody listens to what is queued for the function."""
    try:
        await connection.request(f"busfn.main.wake.zero.{function}", timeout=0.05)
    except nats.errors.NoRespondersError:
        return False
    except nats.errors.TimeoutError:  # nobody answers
        return True
    raise AssertionError("somebody answers")


async def _until(look: Callable[[], Awaitable[bool]], wanted: bool) -> None:
    async with asyncio.timeout(20):
        while await look() is not wanted:
            await asyncio.sleep(0.01)


async def _no_worker(connection: nats.aio.client.Client, service: str) -> None:
    """Wait until nobody answers discovery for the service: its last worker has gone."""
    async with asyncio.timeout(20):
        while True:
            try:
                await connection.request(f"$SRV.PING.{service}", timeout=0.2)
            except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                return
            await asyncio.sleep(0.02)
