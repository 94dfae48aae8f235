"""Hostile messages to everything that our processes listen to: afterwards they are the same processes, healthy, and
answer; meanwhile the calls of others go on.

``--full`` sends a million frames; otherwise it lasts less than a minute. Frame ``i`` follows from the seed and ``i``
alone, so what was found once can be sent again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from seeds import frame, targets
from stacks import Stack, memory
from wire import RawClient

from busfn import Function
from busfn.binding import DEFAULT

pytestmark = pytest.mark.anyio

SEED = 20261127
SECONDS = 35.0
"""How long frames are sent without ``--full``."""
FULL_FRAMES = 1_000_000
RATE = 2000.0
"""Frames a second: hostile, but not a flood, which would only measure how fast two cores are."""
BURST = 50
MAX_GROWTH = 20 << 20
"""Bytes by which no process may grow."""
MAX_LOG = 10 << 20
"""Bytes that all processes together may log."""
ROWS = ("app", "version", "scale", "pin", "run")
LISTS = (("dead", "list"), ("call", "list"), ("app", "list"), ("worker", "list"), ("app", "logs", Stack.app))
"""Commands that read what strangers have left on the bus."""


@dataclass
class Bystander:
    """Calls a function again and again, one call at a time."""

    function: Function[..., int]
    seconds: list[float] = field(default_factory=list)
    wrong: list[object] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            began = time.monotonic()
            try:
                answer: object = await self.function.remote.aio(number)
            except Exception as error:
                answer = error
            self.seconds.append(time.monotonic() - began)
            if answer != number + 1:
                self.wrong.append((number, answer))
            await asyncio.sleep(0.01)

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * share)]


async def send_frames(stack: Stack, listening: Sequence[str], full: bool) -> int:
    where = targets(listening, "main", stack.app)
    began, number = time.monotonic(), 0
    async with RawClient(stack.server.port, stack.server.address.token) as client:
        while number < (FULL_FRAMES if full else SECONDS * RATE):
            await client.send(frame(random.Random(f"{SEED}:{number}"), where))
            number += 1
            if number % BURST == 0:
                await asyncio.sleep(began + number / RATE - time.monotonic())
        await client.settle()
    return number


async def remove_rows(stack: Stack) -> None:
    """Take the rows of strangers out of the registry again; until then it is right that health is red."""
    client = DEFAULT.require("a test")

    async def remove() -> None:
        table = client.link.bus.table(client.link.subjects.table)
        rows = [*await table.entries("*.*"), *await table.entries("*.*.*")]
        for key in rows:
            if key.split(".")[0] in ROWS and key.split(".")[1] != stack.app:
                await table.delete(key)

    await asyncio.to_thread(client.link.portal.run, remove())


async def test_strangers_end_nothing_and_delay_nobody(stack: Stack, full: bool):
    listening = stack.subscribed()  # before there is a client of ours: who knows an inbox may answer there
    calm = Function.from_name(stack.app, "calm")
    assert await calm.remote.aio(1) == 2
    before = stack.processes()
    sizes = {process: memory(process) for process in before}
    stop, bystander = asyncio.Event(), Bystander(calm)
    calling = asyncio.create_task(bystander.run(stop))
    sent = await send_frames(stack, listening, full)
    stop.set()
    await calling

    print(f"{sent} frames; {len(bystander.seconds)} calls beside them, p50 {bystander.percentile(0.5):.3f} s, "
          f"p99 {bystander.percentile(0.99):.3f} s, max {max(bystander.seconds):.3f} s")  # fmt: skip
    assert stack.processes() == before
    assert bystander.wrong == []
    await remove_rows(stack)
    await asyncio.to_thread(stack.until, lambda: stack.run("health").returncode == 0)
    noisy, items = Function.from_name(stack.app, "noisy"), Function.from_name(stack.app, "items")
    assert await noisy.remote.aio(7) == 7
    assert await (await noisy.spawn.aio(8)).get.aio(timeout=60) == 8
    assert [number async for number in noisy.map.aio(range(50))] == list(range(50))
    assert [item async for item in items.remote_gen.aio(3)] == [0, 1, 2]
    for command in (
        ("dead", "list"),
        ("call", "list"),
        ("app", "list"),
        ("worker", "list"),
        ("app", "logs", stack.app),
    ):
        await asyncio.to_thread(stack.busfn, *command)
    assert stack.processes() == before
    grown = {f"{process.pid} {process.command}": memory(process) - size for process, size in sizes.items()}
    print("grown, MiB:", {process: round(size / 2**20, 1) for process, size in grown.items()})
    assert max(grown.values()) < MAX_GROWTH, grown
    print("logged, bytes:", len(stack.log))
    assert len(stack.log) < MAX_LOG
    if full:
        assert bystander.percentile(0.99) < 1.0
