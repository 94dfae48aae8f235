"""From a worker's pipe to the bus."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import pytest

from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.protocol.subjects import Subjects
from busfn_services.marks import MarkedOutput, Owner, mark
from busfn_services.supervisor.logs import MOST_AHEAD, LogSink, pump

pytestmark = pytest.mark.anyio
TOKEN = "cd" * 16


class SlowBus(MemoryBus):
    """A bus whose socket has no room until it is opened."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.room = asyncio.Event()

    async def writable(self) -> None:
        await self.room.wait()


def sink(bus: MemoryBus, echo=None) -> LogSink:
    return LogSink(
        bus=bus, subjects=Subjects(), app="shop", function="f", worker="w1", stream="err", echo=echo
    )  # fmt: skip


async def test_lines_are_published_under_their_calls_and_echoed(collect):
    got, echoed = collect(), []
    end, fd = os.pipe()
    async with MemoryBus(MemoryBroker()) as bus:
        await bus.subscribe("busfn.main.log.>", got)
        pumping = asyncio.create_task(
            pump(end, sink(bus, lambda function, line: echoed.append((function, line))), MarkedOutput(TOKEN))
        )
        os.write(fd, b"early\n" + mark(TOKEN, Owner("c1", 4)) + b"one\ntwo\nhalf")
        os.close(fd)
        await asyncio.wait_for(pumping, 10)
        early, whole, half = await got.reach(3)
    assert [(each.subject, each.body) for each in (early, whole, half)] == [
        ("busfn.main.log.shop.f.-", b"early\n"),
        ("busfn.main.log.shop.f.c1", b"one\ntwo\n"),
        ("busfn.main.log.shop.f.c1", b"half"),
    ]
    assert {name: whole.headers[name] for name in ("Busfn-Worker", "Busfn-Index", "Busfn-Output")} == {
        "Busfn-Worker": "w1", "Busfn-Index": "4", "Busfn-Output": "err",
    }  # fmt: skip
    assert int(whole.headers["Busfn-Time"]) > 1_700_000_000_000
    assert echoed == [("f", line) for line in ("early", "one", "two", "half")]


async def test_a_slow_bus_stops_the_writer_and_loses_nothing(collect):
    got = collect()
    end, fd = os.pipe()
    os.set_blocking(fd, False)
    line, written = b"x" * 999 + b"\n", 0
    broker = MemoryBroker()
    async with SlowBus(broker) as bus:
        await bus.subscribe("busfn.main.log.>", got)
        pumping = asyncio.create_task(pump(end, sink(bus), MarkedOutput(TOKEN)))
        os.write(fd, line)
        await got.reach(1)
        with suppress(BlockingIOError):
            while written < MOST_AHEAD:
                written += os.write(fd, line)
        room = asyncio.Event()
        asyncio.get_running_loop().add_writer(fd, room.set)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(room.wait(), 0.3)  # nobody reads, so the writer stands still
        bus.room.set()
        await asyncio.wait_for(room.wait(), 10)
        asyncio.get_running_loop().remove_writer(fd)
        os.close(fd)
        await asyncio.wait_for(pumping, 30)
        await bus.flush()
    assert sum(len(each.body) for each in got.items) == len(line) + written


async def test_a_cancelled_pump_sends_what_it_has_and_closes_the_pipe(collect):
    got = collect()
    end, fd = os.pipe()
    async with MemoryBus(MemoryBroker()) as bus:
        await bus.subscribe("busfn.main.log.>", got)
        pumping = asyncio.create_task(pump(end, sink(bus), MarkedOutput(TOKEN)))
        os.write(fd, b"whole\nhalf")
        await got.reach(1)
        pumping.cancel()
        await asyncio.wait([pumping])
        await got.reach(2)
    assert b"".join(each.body for each in got.items) == b"whole\nhalf"
    with pytest.raises(BrokenPipeError):
        os.write(fd, b"more")
    os.close(fd)


async def test_a_line_that_is_redrawn_is_shown_while_it_changes_and_kept_in_its_final_state(collect):
    kept, drawn = collect(), collect()
    end, fd = os.pipe()
    async with MemoryBus(MemoryBroker()) as bus:
        await bus.subscribe("busfn.main.log.>", kept)
        await bus.subscribe("busfn.main.draw.>", drawn)
        pumping = asyncio.create_task(pump(end, sink(bus), MarkedOutput(TOKEN)))
        os.write(fd, mark(TOKEN, Owner("c1", 2)) + b"\r  0%|")
        (first,) = await drawn.reach(1)
        os.write(fd, b"\r 10%|")
        await drawn.reach(2)
        for percent in range(20, 101, 10):
            os.write(fd, b"\r%3d%%|" % percent)
        os.write(fd, b"\nnext\n\r  5%|\r      \r")
        os.close(fd)
        await asyncio.wait_for(pumping, 10)
        await bus.flush()
    assert (first.subject, first.body, first.headers["Busfn-Index"]) == ("busfn.main.draw.shop.f.c1", b"  0%|", "2")
    assert drawn.items[1].body == b" 10%|"
    assert b"".join(each.body for each in kept.items) == b"100%|\nnext\n"


async def test_a_line_that_is_redrawn_for_ever_takes_no_memory_and_no_room_in_the_logs(collect):
    kept = collect()
    end, fd = os.pipe()
    async with MemoryBus(MemoryBroker()) as bus:
        await bus.subscribe("busfn.main.log.>", kept)
        output = MarkedOutput(TOKEN)
        pumping = asyncio.create_task(pump(end, sink(bus), output))
        await asyncio.to_thread(_draw_often, fd)
        os.close(fd)
        await asyncio.wait_for(pumping, 30)
        await bus.flush()
    assert [each.body for each in kept.items] == [b"4999 " + b"#" * 99]


def _draw_often(fd: int) -> None:
    for n in range(5000):
        os.write(fd, b"\r%d " % n + b"#" * 99)
