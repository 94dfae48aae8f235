from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.spec import Scaling
from busfn_services.controller.policy import (
    HORIZON,
    Decision,
    Phase,
    Sample,
    WorkerView,
    decide,
    full,
    needed,
    run_time,
    runs_long,
)

CORES = 4
LONG = 1e6
NOTHING = Decision()


def ready(name: str = "w", *, idle_for: float = 0.0) -> WorkerView:
    return WorkerView(name, Phase.READY, idle_for=idle_for)


def busy(name: str = "w", *, waiting: bool = False) -> WorkerView:
    return WorkerView(name, Phase.READY, busy=True, waiting=waiting)


def running(name: str, *, mean_run: float = 0.0, running_for: float = 0.0) -> WorkerView:
    return WorkerView(name, Phase.READY, busy=True, mean_run=mean_run, running_for=running_for)


def starting(name: str = "w") -> WorkerView:
    return WorkerView(name, Phase.STARTING)


def leaving(name: str = "w") -> WorkerView:
    return WorkerView(name, Phase.LEAVING)


def many(make, count: int, prefix: str = "w") -> tuple[WorkerView, ...]:
    return tuple(make(f"{prefix}{number}") for number in range(count))


def decided(backlog: int, *workers: WorkerView, cores: int = CORES, **scaling: object) -> Decision:
    return decide(Sample(backlog, workers), Scaling(**scaling), cores)


# Examples: up


def test_a_function_nobody_calls_has_no_worker():
    assert decided(0) == NOTHING


def test_a_waiting_call_starts_a_worker():
    assert decided(1) == Decision(start=1)


def test_workers_that_are_starting_are_not_started_again():
    assert decided(2, starting()) == Decision(start=1)
    assert decided(1, starting()) == NOTHING


def test_what_waits_and_what_runs_needs_a_worker_each():
    assert decided(2, busy()) == Decision(start=2)


def test_an_idle_worker_takes_what_waits():
    assert decided(1, ready()) == NOTHING
    assert decided(2, ready()) == Decision(start=1)


def test_without_a_cap_there_are_as_many_workers_as_cores():
    assert decided(1000) == Decision(start=CORES)
    assert decided(1000, *many(busy, CORES)) == NOTHING


def test_workers_that_wait_for_nested_calls_do_not_count_against_the_cores():
    waiting = tuple(busy(f"w{n}", waiting=True) for n in range(CORES))
    assert decided(1, *waiting) == Decision(start=1)
    assert decided(1000, *waiting) == Decision(start=CORES)


def test_workers_that_wait_for_nested_calls_count_against_a_cap():
    assert decided(5, busy("a", waiting=True), busy("b"), max_containers=2) == NOTHING


def test_a_cap_may_exceed_the_cores_once_runs_are_known_to_be_long():
    assert decided(1000, max_containers=50) == Decision(start=CORES)
    assert decided(1000, running("w", running_for=0.25), max_containers=50) == Decision(start=49)


def test_short_inputs_start_few_workers():
    assert decided(999, running("w", mean_run=0.001), max_containers=500) == Decision(start=1)
    assert decided(10, running("w", mean_run=0.001), max_containers=500) == NOTHING


def test_one_body_that_hangs_says_nothing_about_the_others():
    others = tuple(running(f"w{number}", mean_run=0.001) for number in range(3))
    assert decided(100, running("hung", mean_run=0.001, running_for=60.0), *others, max_containers=500) == NOTHING


def test_a_worker_that_waits_needs_another_however_short_its_runs_are():
    waiting = WorkerView("w", Phase.READY, busy=True, waiting=True, mean_run=0.001)
    assert decided(1, waiting, max_containers=500) == Decision(start=1)


def test_a_worker_takes_as_many_inputs_as_the_target_says():
    assert decided(10, max_containers=50, target_inputs=5) == Decision(start=2)
    busy_with_three = WorkerView("w", Phase.READY, busy=True, running=3)
    assert decided(2, busy_with_three, target_inputs=5) == NOTHING
    assert decided(3, busy_with_three, target_inputs=5) == Decision(start=1)


def test_a_message_is_weighed_with_all_its_inputs():
    chunk_of_a_thousand = running("w", mean_run=1.0)
    assert decided(7, chunk_of_a_thousand, max_containers=50) == Decision(start=7)


@pytest.mark.parametrize("least", [0, 3])
def test_an_unknown_backlog_holds_the_size(least):
    scaling, workers = Scaling(min_containers=least, max_containers=50), many(lambda n: ready(n, idle_for=LONG), 2)
    assert decide(None, scaling, CORES) == NOTHING
    assert decide(Sample(None, workers), scaling, CORES) == NOTHING
    assert decide(Sample(None, workers), scaling, CORES).reason == "2 workers: hold, the backlog is unknown"


def test_reasons_are_for_people():
    assert decided(41, running("w", mean_run=0.12)).reason == "4 workers: backlog 41, busy 1, mean run 120 ms"
    assert decided(0, ready(idle_for=70)).reason == "0 workers: stop 1 idle for 60 s, backlog 0, busy 0"
    assert decided(0, ready(idle_for=7)).reason == "1 worker: hold, not idle for 60 s yet, backlog 0, busy 0"
    assert decided(9, leaving(), max_containers=1).reason == "0 workers: hold, at the cap, backlog 9, busy 0"


def test_workers_on_their_way_out_count_against_a_cap_but_not_against_the_cores():
    assert decided(10, *many(leaving, 2), max_containers=3) == Decision(start=1)
    assert decided(10, *many(leaving, 3), max_containers=3) == NOTHING
    assert decided(10, *many(leaving, 9), max_containers=3) == NOTHING
    assert decided(10, *many(leaving, CORES)) == Decision(start=CORES)


def test_the_least_number_is_kept_without_any_call():
    assert decided(0, min_containers=2) == Decision(start=2)
    assert decided(0, min_containers=CORES + 3) == Decision(start=CORES + 3)
    assert decided(0, leaving("a"), ready("b"), min_containers=2) == Decision(start=1)


def test_a_buffer_is_kept_while_a_function_is_active_and_only_then():
    assert decided(1, buffer_containers=2) == Decision(start=3)
    assert decided(0, busy(), buffer_containers=2) == Decision(start=2)
    assert decided(0, buffer_containers=2) == NOTHING
    assert decided(1, buffer_containers=20, max_containers=5) == Decision(start=5)


# Examples: down


@pytest.mark.parametrize(("idle_for", "stop"), [(59.9, ()), (60.0, ("w",)), (LONG, ("w",))])
def test_a_worker_is_stopped_when_it_was_idle_for_the_whole_window(idle_for, stop):
    assert decided(0, ready(idle_for=idle_for)) == Decision(stop=stop)


def test_the_window_is_the_function_s_own():
    assert decided(0, ready(idle_for=2), scaledown_window=2) == Decision(stop=("w",))
    assert decided(0, ready(idle_for=100), scaledown_window=200) == NOTHING


def test_those_idle_for_longest_are_stopped_first():
    workers = [ready("a", idle_for=70), ready("b", idle_for=90), ready("c", idle_for=80)]
    assert decided(0, *workers, min_containers=1) == Decision(stop=("b", "c"))
    assert decided(0, *workers, min_containers=2) == Decision(stop=("b",))
    assert decided(0, *workers, min_containers=3) == NOTHING


def test_idle_workers_that_are_needed_stay():
    assert decided(2, ready("a", idle_for=LONG), ready("b", idle_for=LONG)) == NOTHING
    assert decided(1, ready("a", idle_for=70), ready("b", idle_for=80)) == Decision(stop=("b",))


def test_idle_workers_of_the_buffer_stay_while_another_is_busy():
    idle = (ready("a", idle_for=LONG), ready("b", idle_for=LONG))
    assert decided(0, busy(), *idle, buffer_containers=2) == NOTHING
    assert decided(0, busy(), *idle, buffer_containers=1) == Decision(stop=("a",))
    assert decided(0, *idle, buffer_containers=2) == Decision(stop=("a", "b"))


def test_the_buffer_stays_between_two_calls_of_a_function_that_was_busy_within_the_window():
    assert decided(0, ready("late", idle_for=1), ready("spare", idle_for=LONG), buffer_containers=2) == NOTHING
    assert decided(0, ready("late", idle_for=1), buffer_containers=2) == NOTHING


def test_a_worker_that_has_just_taken_a_call_is_not_stopped_for_having_been_idle():
    late = WorkerView("late", Phase.READY, busy=True, idle_for=LONG)
    assert decided(0, late, ready("idle", idle_for=70)) == Decision(stop=("idle",))
    assert decided(0, *many(busy, CORES), late) == NOTHING


def lately(most: int | None, *workers: WorkerView, backlog: int = 0, **scaling: object) -> Decision:
    return decide(Sample(backlog, workers, most_needed=most), Scaling(**scaling), CORES)


EVENLY_BUSY = tuple(ready(f"w{number}", idle_for=float(number)) for number in range(10))


def test_workers_beyond_twice_of_what_was_needed_lately_are_stopped_though_each_gets_a_call_now_and_then():
    assert lately(4, *EVENLY_BUSY, max_containers=20) == Decision(stop=("w9", "w8"))
    assert lately(1, *EVENLY_BUSY, max_containers=20).stop == tuple(f"w{number}" for number in range(9, 1, -1))
    assert lately(5, *EVENLY_BUSY, max_containers=20) == NOTHING
    assert lately(None, *EVENLY_BUSY, max_containers=20) == NOTHING


def test_those_that_were_idle_for_the_window_go_all_the_same():
    assert lately(5, *EVENLY_BUSY, ready("old", idle_for=60), max_containers=20) == Decision(stop=("old",))


def test_what_was_needed_lately_stops_no_worker_that_is_needed_now():
    assert lately(1, *EVENLY_BUSY, backlog=8, max_containers=20) == Decision(stop=("w9", "w8"))
    assert lately(1, *many(busy, 10), max_containers=20) == NOTHING


def test_what_was_needed_lately_stops_neither_the_least_nor_the_buffer_nor_the_last():
    assert lately(0, *EVENLY_BUSY, min_containers=9) == Decision(stop=("w9",))
    assert lately(3, *EVENLY_BUSY, buffer_containers=3, max_containers=20) == Decision(stop=("w9",))
    assert lately(0, ready(idle_for=1)) == NOTHING


def test_a_stop_for_want_of_need_says_so():
    reason = "8 workers: stop 2 more than twice what was needed lately, backlog 0, busy 0"
    assert lately(4, *EVENLY_BUSY, max_containers=20).reason == reason


def test_what_is_needed_is_what_waits_and_runs_at_the_target():
    assert needed(Sample(None), Scaling()) is None
    assert needed(Sample(3, (busy("a"), ready("b"))), Scaling()) == 4
    assert needed(Sample(3, (busy("a"), ready("b"))), Scaling(target_inputs=2)) == 2
    assert needed(Sample(0, (), unsettled=1), Scaling()) == 1


def test_workers_that_start_or_leave_are_not_stopped():
    assert decided(0, starting("a"), leaving("b")) == NOTHING


# Properties


@st.composite
def views(draw, name: str) -> WorkerView:
    phase = draw(st.sampled_from(Phase))
    working = phase is not Phase.STARTING and draw(st.booleans())
    idle_for = draw(st.sampled_from([0.0, 1.0, 59.0, 60.0, 61.0, LONG]))
    return WorkerView(name, phase, working, working and draw(st.booleans()), idle_for)


@st.composite
def samples(draw) -> Sample:
    workers = tuple(draw(views(f"w{number}")) for number in range(draw(st.integers(0, 12))))
    return Sample(draw(st.integers(0, 20)), workers, most_needed=draw(st.none() | st.integers(0, 12)))


@st.composite
def scalings(draw) -> Scaling:
    least = draw(st.integers(0, 6))
    return Scaling(
        min_containers=least,
        max_containers=draw(st.none() | st.integers(max(least, 1), 12)),
        buffer_containers=draw(st.integers(0, 5)),
    )


cores = st.integers(1, 8)


def staying(sample: Sample) -> list[WorkerView]:
    return [worker for worker in sample.workers if worker.phase is not Phase.LEAVING]


def cap_of(sample: Sample, scaling: Scaling, cores: int) -> int:
    if scaling.max_containers is not None:
        return scaling.max_containers
    return max(scaling.min_containers, cores + sum(worker.waiting for worker in staying(sample)))


@given(samples(), scalings(), cores)
def test_never_more_than_the_cap_are_started(sample, scaling, cores):
    decision = decide(sample, scaling, cores)
    assert decision.start >= 0
    if decision.start:
        counted = staying(sample) if scaling.max_containers is None else sample.workers
        assert len(counted) + decision.start <= cap_of(sample, scaling, cores)


@given(samples(), scalings(), cores)
def test_only_workers_that_are_ready_and_idle_are_stopped(sample, scaling, cores):
    by_name = {worker.name: worker for worker in sample.workers}
    stopped = [by_name[name] for name in decide(sample, scaling, cores).stop]
    assert len({worker.name for worker in stopped}) == len(stopped)
    for worker in stopped:
        assert (worker.phase, worker.busy) == (Phase.READY, False)
        assert sample.most_needed is not None or worker.idle_for >= scaling.scaledown_window


@given(samples(), scalings(), cores)
def test_never_fewer_than_the_least_or_the_needed_are_left(sample, scaling, cores):
    decision = decide(sample, scaling, cores)
    before = staying(sample)
    left = len(before) - len(decision.stop)
    need = sample.backlog + sum(worker.busy for worker in before)
    enough = min(max(scaling.min_containers, need), cap_of(sample, scaling, cores))
    assert left >= min(len(before), enough)
    if scaling.max_containers is None:
        assert left + decision.start >= enough


@given(samples(), scalings(), cores)
def test_workers_are_either_started_or_stopped(sample, scaling, cores):
    decision = decide(sample, scaling, cores)
    assert not (decision.start and decision.stop)


@given(samples(), scalings(), cores)
def test_once_a_decision_was_carried_out_there_is_nothing_left_to_decide(sample, scaling, cores):
    decision = decide(sample, scaling, cores)
    stopped = {worker.name for worker in sample.workers if worker.name in decision.stop}
    after = tuple(worker for worker in sample.workers if worker.name not in stopped)
    after += tuple(leaving(name) for name in stopped) + many(starting, decision.start, "new")
    assert decide(replace(sample, workers=after), scaling, cores) == NOTHING


@given(samples(), scalings(), cores, st.integers(1, 20))
def test_more_to_do_never_means_fewer_workers(sample, scaling, cores, more):
    less, busier = (
        decide(sample, scaling, cores),
        decide(replace(sample, backlog=sample.backlog + more), scaling, cores),
    )
    assert busier.start - len(busier.stop) >= less.start - len(less.stop)


@st.composite
def worked_views(draw, name: str) -> WorkerView:
    phase = draw(st.sampled_from(Phase))
    working = phase is not Phase.STARTING and draw(st.booleans())
    seconds = st.sampled_from([0.0, 0.001, 0.1, 0.4, 0.6, 10.0, LONG])
    return WorkerView(
        name,
        phase,
        working,
        waiting=working and draw(st.booleans()),
        idle_for=0.0 if working else draw(seconds),
        held=draw(st.integers(0, 4)) if working else 0,
        mean_run=draw(seconds),
        running_for=draw(seconds) if working else 0.0,
        running=1,
        unstarted=draw(st.integers(0, 3)) if working else 0,
    )


@st.composite
def worked_samples(draw) -> Sample:
    workers = tuple(draw(worked_views(f"w{number}")) for number in range(draw(st.integers(0, 8))))
    backlog, unsettled = draw(st.integers(0, 3)), draw(st.integers(0, 20))
    return Sample(backlog, workers, unsettled, most_needed=draw(st.none() | st.integers(0, 12)))


@st.composite
def worked_scalings(draw) -> Scaling:
    scaling = draw(scalings())
    return replace(scaling, target_inputs=draw(st.integers(1, 5)))


def may_grow(sample: Sample, scaling: Scaling, cores: int) -> bool:
    counted = staying(sample) if scaling.max_containers is None else sample.workers
    return len(counted) < cap_of(sample, scaling, cores)


@given(worked_samples(), worked_scalings(), cores)
def test_a_worker_is_started_while_anything_waits_and_all_workers_run_for_long(sample, scaling, cores):
    """Whatever waits: in the queue, given back by a worker, or behind a body that runs for long."""
    stuck = [worker for worker in staying(sample) if worker.busy and (worker.waiting or worker.running_for > HORIZON)]
    behind = any(worker.unstarted for worker in sample.workers if worker in stuck)
    given_back = sample.unsettled > sum(worker.held for worker in sample.workers)
    waits = sample.backlog > 0 or given_back or behind
    if waits and len(stuck) == len(staying(sample)) and may_grow(sample, scaling, cores):
        assert decide(sample, scaling, cores).start >= 1


@given(worked_samples(), worked_scalings(), cores)
def test_without_a_worker_to_spare_all_that_waits_is_worked_off_soon_or_a_worker_is_started(sample, scaling, cores):
    """Also beside bodies that are short so far: those that are left must do it all within the horizon."""
    decision = decide(sample, scaling, cores)
    if decision.start or not may_grow(sample, scaling, cores) or not sample.waiting:
        return
    takers = [worker for worker in staying(sample) if not runs_long(worker)]
    run = run_time(staying(sample))
    load = sample.waiting + sum(worker.busy for worker in takers)
    assert takers
    assert run is None or load * min(1.0, run / HORIZON) / scaling.target_inputs <= len(takers)


@given(worked_samples(), worked_scalings(), cores)
def test_what_is_started_and_stopped_is_sound_whatever_waits(sample, scaling, cores):
    decision = decide(sample, scaling, cores)
    assert not (decision.start and decision.stop)
    assert not decision.start or may_grow(sample, scaling, cores)


@pytest.mark.parametrize(
    "sample",
    [
        Sample(1, (running("w", running_for=1.0),)),
        Sample(0, (running("w", running_for=1.0),), unsettled=1),
        Sample(0, (replace(running("w", running_for=1.0), held=1),), unsettled=2),
        Sample(0, (replace(running("w", running_for=1.0), unstarted=1),)),
        Sample(0, (busy(waiting=True),), unsettled=1),
    ],
    ids=["queued", "given back", "given back beside one that is held", "behind it", "behind one that waits"],
)
@pytest.mark.parametrize("scaling", [Scaling(), Scaling(max_containers=4), Scaling(target_inputs=5)])
def test_a_call_beside_a_long_one_gets_a_worker_of_its_own(sample, scaling):
    assert decide(sample, scaling, CORES).start == 1


def test_what_waits_behind_a_short_body_has_its_turn_soon():
    short = replace(running("w", mean_run=0.001, running_for=0.001), held=4, unstarted=3)
    assert decide(Sample(0, (short,), unsettled=4), Scaling(), CORES) == NOTHING


def test_each_delivery_that_no_worker_has_counts_as_one_that_waits():
    assert decide(Sample(0, (), unsettled=1), Scaling(), CORES) == Decision(start=1)
    assert decide(Sample(0, (), unsettled=3), Scaling(), CORES) == Decision(start=3)
    idle_for_long = WorkerView("w", Phase.READY, idle_for=1e9)
    assert decide(Sample(0, (idle_for_long,), unsettled=1), Scaling(), CORES) == NOTHING
    assert decide(Sample(0, (idle_for_long,), unsettled=2), Scaling(), CORES) == Decision(start=1)
    assert decide(Sample(0, (idle_for_long,), unsettled=0), Scaling(), CORES) == Decision(stop=("w",))


def test_what_a_leaving_worker_still_holds_needs_no_other():
    leaving = WorkerView("w", Phase.LEAVING, busy=True, held=2)
    assert decide(Sample(0, (leaving,), unsettled=2), Scaling(), CORES) == NOTHING
    assert decide(Sample(0, (leaving,), unsettled=3), Scaling(), CORES) == Decision(start=1)


@pytest.mark.parametrize(
    "workers", [many(ready, 3), many(busy, 3), (busy("a"), starting("b"), leaving("c")), many(ready, 4)]
)
def test_a_function_with_all_workers_that_it_may_have_is_full(workers):
    assert full(Sample(0, workers), Scaling(max_containers=3))
    assert not full(Sample(0, workers[:2]), Scaling(max_containers=3))


def test_without_a_cap_of_its_own_a_function_is_never_full():
    """Workers that wait for nested calls make room for others."""
    assert not full(Sample(0, many(busy, 10 * CORES)), Scaling())
