"""The policy over time: `decide` on simulated workers, woken as the controller's pool is."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.scaling import traces
from bench.scaling.model import Outcome, simulate
from bench.scaling.ours import Busfn
from bench.scaling.traces import Arrival, Trace, at_once, poisson
from busfn.spec import Scaling
from busfn_services.controller.backoff import FIRST_PAUSE, LONGEST_PAUSE
from busfn_services.controller.policy import HORIZON
from busfn_services.controller.pool import IDLE_TICK

CORES = 4
MOST = 20
WINDOW = 60.0


@cache
def catalogued(make: Callable[[], Trace], start_time: float = 0.03) -> Outcome:
    return simulated(make(), start_time=start_time)


def simulated(trace: Trace, *, start_time: float = 0.03, unknown: tuple[float, float] = (0, 0)) -> Outcome:
    return simulate(trace, Busfn(Scaling(max_containers=MOST), CORES, unknown), start_time)


def size_at(outcome: Outcome, moment: float) -> int:
    return [size for at, size in [(0.0, 0), *outcome.sizes] if at <= moment][-1]


def last_finish(trace: Trace, outcome: Outcome) -> float:
    return max(call.at + wait + call.run for call, wait in zip(trace.arrivals, outcome.waits, strict=True))


@pytest.mark.parametrize("make", [traces.steady, traces.burst, traces.square, traces.ramp, traces.short, traces.long])
def test_the_size_goes_up_once_and_down_once_and_nothing_is_interrupted(make):
    outcome = catalogued(make)
    assert len(outcome.waits) == len(make().arrivals)
    assert (outcome.flaps, outcome.interrupted, outcome.killed) == (1, 0, 0)


@pytest.mark.parametrize("make", [traces.steady, traces.long])
def test_nor_does_it_flap_when_workers_take_seconds_to_start(make):
    assert catalogued(make, start_time=3.0).flaps == 1


@pytest.mark.parametrize("on", [5, 10, 20, 30])
def test_no_square_wave_that_is_shorter_than_the_window_makes_it_flap(on):
    calls = poisson(0, 600, lambda at: 8.0 if at % (2 * on) < on else 0.0, run=0.4)
    assert simulated(Trace("square", "", calls, 720)).flaps == 1


def test_a_steady_load_never_makes_it_smaller():
    sizes = [size for at, size in catalogued(traces.steady).sizes if at < 1200]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("make", [traces.steady, traces.square, traces.long])
def test_after_the_last_call_all_are_gone_within_the_window_and_a_tick(make):
    trace, outcome = make(), catalogued(make)
    assert outcome.empty_at >= trace.arrivals[-1].at + WINDOW
    assert outcome.empty_at <= last_finish(trace, outcome) + WINDOW + IDLE_TICK


def test_a_burst_leaves_no_more_workers_behind_than_a_low_load_needs():
    outcome = catalogued(traces.burst)
    assert outcome.most == MOST
    assert size_at(outcome, traces.BURST_AT + 10) == MOST
    assert all(size_at(outcome, moment) <= 6 for moment in range(210, 1200))
    assert outcome.flaps == 1


def test_short_bodies_start_no_more_workers_than_the_horizon_asks_for():
    known = tuple(Arrival(number * 0.1, 0.001) for number in range(20))  # tells how long they run
    trace = Trace("1 ms", "", known + at_once(2.0, 1000, run=0.001), 60)
    outcome = simulated(trace)
    assert outcome.most <= max(CORES, math.ceil(1000 * 0.001 / HORIZON))
    assert size_at(outcome, 50) == 2
    assert max(outcome.waits) < 1.0


def test_until_a_run_time_is_known_the_cores_find_out():
    assert simulated(Trace("1 ms", "", at_once(0.0, 1000, run=0.001), 30)).most == CORES


def test_bodies_of_a_minute_are_never_interrupted_and_hold_nobody_up():
    outcome = catalogued(traces.long)
    assert (outcome.interrupted, outcome.killed) == (0, 0)
    assert max(outcome.waits) < 1.0


@pytest.mark.parametrize("start_time", [0.03, 3.0])
def test_a_crash_loop_does_not_spin(start_time):
    seconds = 600.0
    calls = poisson(0, seconds, lambda _: 1.0, run=0.1)
    outcome = simulated(Trace("broken", "", calls, seconds, broken_until=math.inf), start_time=start_time)
    doubling = math.ceil(math.log2(LONGEST_PAUSE / FIRST_PAUSE)) + 1
    assert doubling < outcome.starts <= CORES + doubling + seconds / LONGEST_PAUSE + 1
    assert outcome.most <= CORES


def test_once_workers_start_again_all_is_done():
    trace = traces.crash_loop()
    outcome = simulated(trace)
    assert max(outcome.waits) <= trace.broken_until + LONGEST_PAUSE + 5
    assert outcome.empty_at < trace.seconds


def test_the_size_is_held_while_the_backlog_is_unknown():
    calls = poisson(0, 100, lambda _: 5.0, run=0.2) + poisson(200, 300, lambda _: 40.0, run=0.2)
    trace = Trace("unknown", "", calls, 600)
    outcome = simulated(trace, unknown=(100, 400))
    assert len({size_at(outcome, moment) for moment in range(100, 400)}) == 1
    assert not [at for at, _ in outcome.sizes if 100 <= at < 400]
    assert size_at(outcome, 100) > 0
    assert outcome.empty_at < 600


@settings(max_examples=100)
@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from([0.001, 0.05, 0.3, 2.0, 30.0])), min_size=1, max_size=MOST))
def test_no_call_waits_for_long_while_workers_may_be_started(calls):
    """Short calls among long ones, in any order: at most as many at once as there may be workers."""
    arrivals = tuple(Arrival(at, run) for at, run in sorted(calls))
    assert max(simulated(Trace("mix", "", arrivals, 120)).waits) < 1.0
