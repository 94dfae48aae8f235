from __future__ import annotations

import asyncio

import pytest

from busfn.protocol.codecs import Payload
from busfn.protocol.envelope import Call
from busfn_services.flight import RECORDS, Kind
from busfn_services.worker import holdings as module
from busfn_services.worker.holdings import CUT_AFTER, MOST_STORING, Holdings
from busfn_services.worker.job import Job
from busfn_services.worker.limiter import MOST_BORNE, MOST_MESSAGES, MOST_WORK, SOON, Limiter

SHORT = MOST_WORK / 100


class Clock:
    """Stands still until told otherwise."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def held(mean: float = SHORT, count: int = 0, messages: int = 1) -> tuple[Holdings, list[Job]]:
    """What holds so many messages, of inputs that take ``mean`` seconds."""
    holdings = Holdings(Limiter())
    learned = holdings.make(Call(call="learned", payload=Payload(content_type="", body=b"")), Kind.DIRECT, "", 0)
    holdings.take(learned)
    holdings.ran(learned, mean)
    holdings.release(learned)
    jobs = []
    for number in range(messages):
        call = Call(call=f"c{number}", payload=Payload(content_type="", body=b""), count=count)
        job = holdings.make(call, Kind.DIRECT, "", 0)
        holdings.take(job)
        jobs.append(job)
    return holdings, jobs


def start(job: Job, clock: Clock) -> None:
    job.take(1)
    job.started_at = clock.now


def end(holdings: Holdings, job: Job, mean: float) -> None:
    job.started_at = 0.0
    holdings.ran(job, mean)


def test_each_message_has_a_slot_of_its_own_until_it_is_released() -> None:
    holdings, jobs = held(messages=MOST_MESSAGES)
    assert len({job.slot for job in jobs}) == MOST_MESSAGES
    assert all(0 <= job.slot < RECORDS for job in jobs)
    assert holdings.spare() <= 0
    for job in jobs:
        holdings.release(job)
    assert not holdings
    assert holdings.spare() > 1


def test_nothing_is_trapped_before_its_time(clock: Clock) -> None:
    holdings, jobs = held(messages=3)
    start(jobs[0], clock)
    clock.now += CUT_AFTER * 0.9
    assert holdings.trapped() == []
    assert holdings.next_look() == pytest.approx(CUT_AFTER * 0.1, abs=0.011)


def test_what_waits_behind_a_body_that_runs_is_trapped_after_a_while(clock: Clock) -> None:
    holdings, jobs = held(messages=3)
    start(jobs[0], clock)
    clock.now += CUT_AFTER
    assert holdings.trapped() == jobs[1:]


def test_the_rest_of_a_chunk_is_trapped_behind_its_own_beginning(clock: Clock) -> None:
    holdings, jobs = held(count=10)
    start(jobs[0], clock)
    clock.now += CUT_AFTER
    assert holdings.trapped() == jobs
    assert holdings.cut(jobs[0]) == (1, 10)
    assert holdings.trapped() == []
    assert holdings.next_look() is None


def test_while_nothing_runs_nothing_is_trapped(clock: Clock) -> None:
    """Its arguments are still being fetched: another worker would have to fetch them, too."""
    holdings, jobs = held(messages=2)
    start(jobs[0], clock)
    end(holdings, jobs[0], 0.0)
    clock.now += 10 * CUT_AFTER
    assert holdings.trapped() == []
    look = holdings.next_look()
    assert look is not None
    assert look > 0


def test_a_message_is_asked_for_ahead_only_while_one_is_held(clock: Clock) -> None:
    holdings, jobs = held(mean=0.01)
    start(jobs[0], clock)
    assert holdings.room() == 0
    assert holdings.soon() == pytest.approx(0.01 - SOON)
    clock.now += 0.009
    assert holdings.room() == 1
    soon = holdings.soon()
    assert soon is not None
    assert soon <= 0
    holdings.release(jobs[0])
    assert holdings.soon() is None
    assert holdings.room() == 1


@pytest.mark.anyio
async def test_what_is_being_stored_makes_room_for_others_up_to_a_limit() -> None:
    holdings, jobs = held(mean=1.0)
    for _ in range(MOST_STORING):
        assert holdings.room() == 0  # a body runs
        jobs[-1].tail = asyncio.ensure_future(asyncio.sleep(0))
        holdings.ran(jobs[-1], 1.0)
        if holdings.room():
            jobs.append(holdings.make(jobs[0].call, Kind.JOB, "", 0))
            holdings.take(jobs[-1])
    assert holdings.spare() == 0
    assert holdings.room() == 0
    for job in jobs:
        holdings.release(job)
    assert holdings.room() == 1


def test_what_was_asked_for_is_taken_while_short_inputs_are_held(clock: Clock) -> None:
    """More may come than was expected, and giving it back costs more than running it."""
    holdings, _ = held(mean=SHORT, messages=1, count=150)
    assert holdings.spare() == 0
    assert holdings.bears()


def test_nothing_is_taken_behind_a_body_that_takes_much_longer_than_others(clock: Clock) -> None:
    holdings, jobs = held(mean=SHORT)
    start(jobs[0], clock)
    assert holdings.spare() > 1
    assert holdings.bears()
    clock.now += MOST_WORK * 2
    assert holdings.spare() == 0
    assert holdings.room() > 0
    clock.now += SOON
    assert holdings.room() == 0
    assert holdings.bears()
    clock.now += MOST_BORNE
    assert not holdings.bears()
    end(holdings, jobs[0], SHORT)
    assert holdings.spare() > 1


def test_a_body_that_has_ended_holds_nothing_up_though_we_do_not_know_it_yet(clock: Clock) -> None:
    holdings, jobs = held(mean=SHORT, messages=3)
    for job in jobs:
        start(job, clock)
        job.started_at = 0.0
    clock.now += 1.0
    assert holdings.spare() > 1


def test_given_away_inputs_make_room_until_they_come_back(clock: Clock) -> None:
    holdings, jobs = held(mean=MOST_WORK / 4, count=10)
    start(jobs[0], clock)
    assert holdings.soon() == pytest.approx(10 * MOST_WORK / 4 - SOON)
    rest = holdings.cut(jobs[0])
    assert rest is not None
    assert holdings.soon() == pytest.approx(MOST_WORK / 4 - SOON)
    assert holdings.restore(jobs[0], rest)
    assert holdings.soon() == pytest.approx(10 * MOST_WORK / 4 - SOON)
    holdings.release(jobs[0])
    assert holdings.soon() is None
    assert holdings.spare() > 0
