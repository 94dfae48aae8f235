from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from busfn_services.controller.backoff import FIRST_PAUSE, LONGEST_PAUSE, Backoff

NOW = 1000.0
BRIEF = 0.001


def pauses(backoff: Backoff, attempts: int) -> list[float]:
    """Pauses of attempts that all fail, each made as soon as it may be."""
    now, found = NOW, []
    for _ in range(attempts):
        backoff.failed("broken", now)
        found.append(backoff.until - now)
        now = backoff.until
    return found


def test_without_a_failure_there_is_no_pause():
    assert not Backoff().pausing(0.0)
    assert not Backoff().pausing(NOW)


def test_after_a_failure_there_is_a_pause_with_a_reason():
    backoff = Backoff()
    backoff.failed("no such module", NOW)
    assert backoff.reason == "no such module"
    assert backoff.pausing(NOW)
    assert backoff.pausing(NOW + FIRST_PAUSE - BRIEF)
    assert not backoff.pausing(NOW + FIRST_PAUSE)


def test_pauses_double_up_to_the_longest():
    assert pauses(Backoff(), 8) == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_function_that_fails_for_days_is_tried_for_days():
    assert set(pauses(Backoff(), 20_000)[6:]) == {LONGEST_PAUSE}


def test_several_failures_of_one_attempt_count_once_and_the_last_gives_the_reason():
    backoff = Backoff()
    for number in range(5):
        backoff.failed(f"worker {number}", NOW + number * FIRST_PAUSE / 10)
    assert (backoff.failures, backoff.until, backoff.reason) == (1, NOW + FIRST_PAUSE, "worker 4")


def test_a_start_forgets_all_failures():
    backoff = Backoff()
    pauses(backoff, 5)
    backoff.succeeded()
    assert backoff == Backoff()
    assert pauses(backoff, 2) == [1, 2]


@given(st.lists(st.tuples(st.floats(0, 100), st.sampled_from(["failed", "succeeded"])), max_size=60))
def test_a_pause_is_never_longer_than_the_longest_and_never_follows_a_success(history):
    backoff, now = Backoff(), NOW
    for later, event in history:
        now += later
        if event == "failed":
            backoff.failed("broken", now)
            assert now < backoff.until <= now + LONGEST_PAUSE
        else:
            backoff.succeeded()
            assert not backoff.pausing(now)
        assert not backoff.pausing(now + LONGEST_PAUSE)


def test_after_a_failure_one_worker_at_a_time_may_start_until_one_has_started():
    backoff = Backoff()
    assert backoff.allowed(5, 3, NOW) == 5
    backoff.failed("broken", NOW)
    assert backoff.allowed(5, 0, NOW) == 0
    assert backoff.allowed(5, 0, NOW + FIRST_PAUSE) == 1
    assert backoff.allowed(5, 1, NOW + FIRST_PAUSE) == 0
    assert backoff.allowed(5, 2, NOW + FIRST_PAUSE) == 0
    assert backoff.allowed(0, 0, NOW + FIRST_PAUSE) == 0
    backoff.succeeded()
    assert backoff.allowed(5, 1, NOW + FIRST_PAUSE) == 5
