"""A loop that was held up is noticed before what arrived meanwhile is handled."""

from __future__ import annotations

import asyncio
import time

import pytest

from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn_services.worker import pulse as module
from busfn_services.worker.background import Background
from busfn_services.worker.pulse import Pulse

pytestmark = pytest.mark.anyio

LONG = 0.3


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.02)
    monkeypatch.setattr(module, "LATE", 0.1)


class Beating:
    """A pulse, and how often it noticed something."""

    def __init__(self) -> None:
        self.held_ups = 0
        self.bus = MemoryBus(MemoryBroker())
        self.background = Background(asyncio.get_running_loop())
        self.pulse = Pulse(self.bus, self.background, self.note)

    def note(self) -> None:
        self.held_ups += 1

    async def caught_up(self) -> None:
        while self.background.busy:
            self.background.changed.clear()
            await self.background.changed.wait()


@pytest.fixture
async def beating(anyio_backend: object):
    beating = Beating()
    beating.pulse.start()
    yield beating
    beating.pulse.stop()


def hold_up() -> None:
    time.sleep(LONG)  # what a body that keeps the GIL does to the loop


async def test_a_loop_that_runs_is_not_held_up(beating: Beating):
    for _ in range(10):
        await asyncio.sleep(0.02)
        assert beating.pulse.unread() == 0
    assert beating.held_ups == 0


async def test_what_comes_after_a_hold_up_may_have_lain_there_as_long(beating: Beating):
    hold_up()
    assert LONG <= beating.pulse.unread() < LONG + 1
    assert beating.pulse.unread() > 0
    assert beating.held_ups == 1


async def test_a_hold_up_is_noticed_although_nothing_comes(beating: Beating):
    hold_up()
    await asyncio.sleep(0.01)
    assert beating.held_ups == 1


async def test_what_comes_behind_the_answer_of_the_bus_is_fresh(beating: Beating):
    hold_up()
    assert beating.pulse.unread() > 0
    await beating.caught_up()
    assert beating.pulse.unread() == 0


async def test_a_second_hold_up_before_that_answer_counts_as_well(beating: Beating):
    hold_up()
    beating.pulse.unread()
    await asyncio.sleep(0)  # the question is on its way
    hold_up()
    assert beating.pulse.unread() >= LONG
    assert beating.held_ups == 2
    await beating.caught_up()
    assert beating.pulse.unread() == 0


async def test_it_beats_no_more_once_it_is_stopped(beating: Beating):
    beating.pulse.stop()
    hold_up()
    await asyncio.sleep(0.05)
    assert beating.held_ups == 0
