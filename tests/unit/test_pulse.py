"""How late a process reads what is sent to it, on a bus in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn_services import pulse as module
from busfn_services.pulse import Pulse

pytestmark = pytest.mark.anyio

LONG = 0.8


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.02)


class Beating:
    """A pulse, and what it has noticed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bus = MemoryBus(MemoryBroker())
        self.pulse = Pulse(self.bus, self.note_answer, self.note_held_up)
        self.told: list[float] = []
        """After which moment something was sent that was read just after an answer."""
        self.held_ups = 0
        self.answering = asyncio.Event()
        self.answering.set()
        self._flush = self.bus.flush
        monkeypatch.setattr(self.bus, "flush", self.flush)

    async def flush(self, timeout: float = 10.0) -> None:
        await self.answering.wait()
        await self._flush(timeout)

    def note_answer(self) -> None:
        self.told.append(self.sent_after)

    @property
    def sent_after(self) -> float:
        """After which moment something was sent that is read now."""
        return time.monotonic() - self.pulse.unread()

    @property
    def answers(self) -> int:
        return len(self.told)

    def note_held_up(self) -> None:
        self.held_ups += 1

    async def next_answers(self, count: int = 2) -> None:
        """The second is to a ping that was sent from now on."""
        wanted = self.answers + count
        async with asyncio.timeout(10):
            while self.answers < wanted:
                await asyncio.sleep(0.001)

    async def answers_again(self) -> None:
        """The bus does, and then what is read is fresh."""
        ended = time.monotonic()
        self.answering.set()
        await self.next_answers()
        assert self.sent_after >= ended


@pytest.fixture
async def beating(anyio_backend: object, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Beating]:
    beating = Beating(monkeypatch)
    beating.pulse.start()
    yield beating
    beating.pulse.stop()


def hold_up() -> None:
    time.sleep(LONG)  # what a body that keeps the GIL does to the loop


async def test_what_arrives_while_the_bus_answers_is_fresh(beating: Beating):
    began = time.monotonic()
    await beating.next_answers()
    assert beating.sent_after >= began


async def test_what_is_read_after_a_hold_up_may_have_lain_there_as_long(beating: Beating):
    await beating.next_answers()
    began = time.monotonic()
    hold_up()
    assert beating.sent_after <= began


async def test_a_hold_up_is_told(beating: Beating):
    await beating.next_answers()
    before = beating.held_ups
    hold_up()
    await beating.next_answers()
    assert beating.held_ups > before


async def test_what_comes_behind_the_answer_of_the_bus_is_fresh(beating: Beating):
    await beating.next_answers()
    hold_up()
    ended = time.monotonic()
    await beating.next_answers()
    assert beating.sent_after >= ended


async def test_while_the_bus_does_not_answer_what_arrives_may_be_as_old(beating: Beating):
    beating.answering.clear()
    began = time.monotonic()
    await asyncio.sleep(LONG)
    assert beating.sent_after <= began
    await beating.answers_again()


async def test_an_answer_says_nothing_of_what_was_sent_after_its_ping(beating: Beating):
    beating.answering.clear()
    await asyncio.sleep(LONG)
    asked, before = time.monotonic(), beating.answers
    beating.answering.set()
    await beating.next_answers()
    late, prompt = beating.told[before : before + 2]
    assert late < asked <= prompt


async def test_after_a_late_answer_the_next_ping_leaves_at_once(beating: Beating, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "EVERY", 3600.0)
    beating.answering.clear()
    await asyncio.sleep(LONG)
    await beating.answers_again()


async def test_it_pings_no_more_once_it_is_stopped(beating: Beating):
    beating.pulse.stop()
    await asyncio.sleep(0)
    answers = beating.answers
    await asyncio.sleep(0.1)
    assert beating.answers == answers
