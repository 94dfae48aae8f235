"""Reading logs, on a bus in memory."""

from __future__ import annotations

import asyncio

import pytest

from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.bus.stores import Stored
from busfn.errors import NotFoundError
from busfn.logs import FIRST_WINDOW, LogFilter, LogLine, LogReader, lines_of
from busfn.protocol.subjects import Subjects
from busfn.streams import streams

pytestmark = pytest.mark.anyio
MAIN = Subjects("main")
NOW = 1_800_000_000.0


class Logs:
    """Prints to a bus and reads it back."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.reader = LogReader(bus, MAIN)
        self.reads = 0
        read = bus.history.read

        async def counted(*args, **options):
            found = await read(*args, **options)
            self.reads += len(found)
            return found

        bus.history.read = counted  # type: ignore[method-assign]

    async def print(self, text: str, *, app="shop", function="f", call="c1", index=0, worker="w1", time=NOW):
        facts = {"Busfn-Worker": worker, "Busfn-Index": str(index), "Busfn-Time": str(int(time * 1000))}
        self.bus.publish(MAIN.log(app, function, call), text.encode(), facts)
        await self.bus.flush()

    async def texts(self, **options) -> list[str]:
        return [line.text async for line in self.reader.read(LogFilter(app="shop", **options))]

    async def tail(self, count: int, **options) -> list[str]:
        return [line.text for line in await self.reader.tail(LogFilter(app="shop", **options), count)]


@pytest.fixture
async def logs(anyio_backend):
    async with MemoryBus(MemoryBroker()) as bus:
        for spec in streams(MAIN):
            await bus.queues.ensure_stream(spec)
        yield Logs(bus)


def stored(body: bytes, headers: dict[str, str], subject: str = "busfn.main.log.shop.Cls.m.c9") -> Stored:
    return Stored(subject, headers, body, 1, 12.5)


def test_a_message_becomes_lines():
    facts = {"Busfn-Worker": "w1", "Busfn-Index": "3", "Busfn-Output": "err", "Busfn-Time": "1500"}
    first, second, third = lines_of(stored(b"a\n\n\xffb\r\n", facts), MAIN)
    assert first == LogLine(1.5, "shop", "Cls.m", "c9", 3, "w1", "err", "a")
    assert (second.text, third.text) == ("", "�b")


@pytest.mark.parametrize("bad", ["", "x", "-1", "1" * 40, "²"])
def test_headers_that_are_no_numbers_are_passed_over(bad):
    (line,) = lines_of(stored(b"a", {"Busfn-Time": bad, "Busfn-Index": bad}), MAIN)
    assert (line.time, line.index, line.text) == (12.5, 0, "a")


async def test_lines_are_read_in_order_and_by_app_function_call_and_worker(logs):
    await logs.print("1\n2\n")
    await logs.print("3", app="other")
    await logs.print("4", function="g", call="c2", worker="w2")
    await logs.print("5", function="Cls.m", call="c3")
    await logs.print("6", call="-")
    assert await logs.texts() == ["1", "2", "4", "5", "6"]
    assert await logs.texts(function="g") == ["4"]
    assert await logs.texts(function="f") == ["1", "2", "6"]
    assert await logs.texts(call="c2") == ["4"]
    assert await logs.texts(call="c3") == ["5"]
    assert await logs.texts(call="c3", function="f") == []
    assert await logs.texts(worker="w2") == ["4"]
    assert await logs.texts(function="Cls.m") == ["5"]


async def test_lines_between_two_moments(logs):
    for n in range(6):
        await logs.print(str(n), time=NOW + n)
    assert await logs.texts(since=NOW + 2) == []  # nothing was stored so late by the clock of the server
    assert await logs.texts(until=NOW + 2) == ["0", "1", "2"]
    assert await logs.texts(since=1.0, until=NOW + 1) == ["0", "1"]
    assert await logs.tail(2, until=NOW + 3) == ["2", "3"]


async def test_the_tail_is_the_last_lines_and_not_messages(logs):
    for n in range(5):
        await logs.print(f"{n}a\n{n}b\n")
    assert await logs.tail(3) == ["3b", "4a", "4b"]
    assert await logs.tail(0) == []
    assert len(await logs.tail(1000)) == 10


async def test_a_short_tail_reads_little_of_a_long_stream(logs):
    for n in range(10 * FIRST_WINDOW):
        logs.bus.publish(MAIN.log("shop", "f", "c1"), b"%d" % n)
    await logs.bus.flush()
    assert await logs.tail(2) == [str(10 * FIRST_WINDOW - 2), str(10 * FIRST_WINDOW - 1)]
    assert logs.reads <= FIRST_WINDOW


async def test_a_rare_line_is_found_far_back(logs):
    await logs.print("rare", function="g")
    for n in range(20 * FIRST_WINDOW):
        logs.bus.publish(MAIN.log("shop", "f", "c1"), b"%d" % n)
    await logs.bus.flush()
    assert await logs.tail(5, function="g") == ["rare"]


@pytest.mark.parametrize("count", [0, 3, None])
async def test_following_misses_nothing_and_repeats_nothing(logs, count):
    """Lines are printed before, during and after the start of a follower."""
    total, got = 400, []

    async def follow():
        async for line in logs.reader.follow(LogFilter(app="shop"), count):
            got.append(int(line.text))
            if got[-1] == total - 1:
                return

    for n in range(100):
        logs.bus.publish(MAIN.log("shop", "f", "c1"), b"%d" % n)
    await logs.bus.flush()
    following = asyncio.create_task(follow())
    for n in range(100, total):
        logs.bus.publish(MAIN.log("shop", "f", "c1"), b"%d" % n)
        if n % 3 == 0:
            await asyncio.sleep(0)
    await asyncio.wait_for(following, 30)
    assert got == list(range(got[0], total))
    assert got[0] <= 100 if count != 3 else got[0] >= 97
    if count is None:
        assert got[0] == 0


async def test_a_follower_hears_a_line_that_comes_late(logs):
    lines = logs.reader.follow(LogFilter(app="shop", call="c2"), 10)
    first = asyncio.create_task(anext(lines))
    await logs.print("other")
    await logs.print("mine", call="c2")
    assert (await asyncio.wait_for(first, 30)).text == "mine"
    await lines.aclose()


async def test_an_environment_that_keeps_no_logs(anyio_backend):
    async with MemoryBus(MemoryBroker()) as bus:
        with pytest.raises(NotFoundError):
            await LogReader(bus, MAIN).tail(LogFilter(app="shop"), 10)
