from __future__ import annotations

import math

import pytest

from bench.scaling import traces
from bench.scaling.model import Event, Step, View, restart_pause, simulate
from bench.scaling.peers import KEDA_COOLDOWN, KPA_STABLE, KPA_ZERO_GRACE, POD_GRACE, Keda, Knative, newest
from bench.scaling.report import HEADINGS, Result, legend, table
from bench.scaling.traces import Arrival, Trace, at_once
from busfn_services.controller.policy import Phase, WorkerView

MOST = 20


class Scripted:
    """Does what it was told, at ticks of a second."""

    name = "scripted"
    restarts = False

    def __init__(self, steps: dict[int, Step], grace: float = math.inf) -> None:
        self.steps = steps
        self.grace = grace
        self.views: list[View] = []

    def look(self, view: View) -> Step | None:
        self.views.append(view)
        if view.event is not Event.TICK:
            return None
        step = self.steps.get(round(view.now), Step())
        stop = [worker.name for worker in view.staying[: len(step.stop)]]
        return Step(step.start, stop, 1.0)


def trace(*arrivals: Arrival, seconds: float = 100.0, broken_until: float = 0.0) -> Trace:
    return Trace("some", "", arrivals, seconds, broken_until)


# The model


def test_a_call_waits_for_a_worker_to_start_and_for_the_one_before_it():
    outcome = simulate(trace(*at_once(0, 2, run=3.0)), Scripted({1: Step(1)}), start_time=0.5)
    assert outcome.waits == (1.5, 4.5)
    assert (outcome.worker_seconds, outcome.most, outcome.starts, outcome.flaps) == (99.0, 1, 1, 0)
    assert outcome.empty_at == math.inf


def test_of_several_free_workers_the_one_that_waits_longest_takes_the_call():
    scripted = Scripted({0: Step(2)})
    simulate(trace(*[Arrival(float(second), 0.1) for second in range(1, 7)], seconds=7), scripted)
    idle = [worker.idle_for for worker in scripted.views[-1].workers]
    assert sorted(round(seconds, 3) for seconds in idle) == [0.9, 1.9]


def test_a_worker_that_is_stopped_while_busy_finishes_what_it_has():
    outcome = simulate(trace(Arrival(1, 5.0)), Scripted({0: Step(1), 2: Step(stop=("it",))}))
    assert (outcome.interrupted, outcome.killed, outcome.flaps, outcome.empty_at) == (1, 0, 1, 6.0)


def test_a_worker_that_does_not_finish_within_its_grace_is_killed_and_its_call_runs_again():
    steps = {0: Step(1), 2: Step(stop=("it",)), 8: Step(1)}
    outcome = simulate(trace(Arrival(1, 5.0)), Scripted(steps, grace=3.0), start_time=0.5)
    assert (outcome.interrupted, outcome.killed, outcome.flaps) == (1, 1, 2)
    assert outcome.waits == (0.0, 7.5)


def test_a_call_that_never_runs_waits_to_the_end():
    outcome = simulate(trace(Arrival(10, 1.0), broken_until=math.inf), Scripted({0: Step(3)}))
    assert outcome.waits == (90.0,)
    assert outcome.starts == 3
    assert outcome.worker_seconds == pytest.approx(3 * 0.03)


def test_the_load_that_is_summed_up_grows_with_what_waits_and_runs():
    scripted = Scripted({3: Step(1)})
    simulate(trace(Arrival(1, 2.0), seconds=10), scripted, start_time=1.0)
    assert scripted.views[-1].load == pytest.approx(3.0 + 2.0)


def test_a_simulation_is_the_same_each_time():
    assert simulate(traces.steady(), Knative(MOST)) == simulate(traces.steady(), Knative(MOST))


def test_kubernetes_restarts_after_pauses_that_double():
    assert [restart_pause(attempts) for attempts in range(1, 8)] == [10, 20, 40, 80, 160, 300, 300]


# Peers


def view(now: float, *, event: Event = Event.TICK, backlog: int = 0, workers: int = 0, load: float = 0.0) -> View:
    views = tuple(WorkerView(f"w{number}", Phase.READY) for number in range(workers))
    return View(now, event, backlog, views, load)


def test_keda_starts_the_first_worker_at_a_poll_and_the_rest_at_a_sync():
    keda = Keda(5, MOST)
    assert keda.look(view(0, backlog=30)) == Step(1, (), 5)
    assert keda.look(view(3, event=Event.ARRIVAL, backlog=30)) is None
    assert keda.look(view(5, backlog=30, workers=1)) == Step(0, (), 5)
    assert keda.look(view(15, backlog=30, workers=1)) == Step(4, (), 5)
    assert keda.look(view(30, backlog=30, workers=5)) == Step(5, (), 5)


def test_keda_scales_to_zero_when_no_poll_saw_work_for_the_cooldown():
    outcome = simulate(trace(Arrival(1, 1.0), seconds=600), Keda(5, MOST))
    assert outcome.empty_at == pytest.approx(5 + KEDA_COOLDOWN, abs=10)


def test_keda_stops_the_newest_though_it_is_busy():
    calls = (Arrival(0, 20.0), *at_once(0, 2, run=10.0), Arrival(0, 400.0))  # the last one runs on the newest worker
    outcome = simulate(trace(*calls, seconds=900), Keda(5, MOST))
    assert (outcome.interrupted, outcome.killed) == (1, 1)
    assert outcome.waits[-1] == pytest.approx(330 + POD_GRACE, abs=15)


def test_knative_starts_a_worker_at_once_when_there_is_none():
    assert Knative(MOST).look(view(1, event=Event.ARRIVAL, backlog=1)) == Step(1, (), 2)
    assert Knative(MOST).look(view(1, event=Event.ARRIVAL, backlog=1, workers=1)) is None


def test_knative_aims_at_a_mean_concurrency_of_seven_tenths():
    knative = Knative(MOST)
    for second in range(2, 122, 2):
        step = knative.look(view(second, workers=10, load=7.0 * second))
    assert step == Step(0, (), 2)
    assert Knative(MOST).look(view(2, workers=10, load=7.1 * 2)) == Step(1, (), 2)


def test_knative_panics_at_twice_what_it_has_and_then_does_not_scale_in():
    knative = Knative(MOST)
    assert knative.look(view(2, workers=1, load=8.0)) == Step(5, (), 2)  # 4 on average, / 0.7
    for second in range(4, 62, 2):
        assert not knative.look(view(second, workers=6, load=8.0)).stop
    assert knative.look(view(64, workers=6, load=8.0)).stop == ("w5", "w4", "w3")  # at most to the half


def test_knative_keeps_the_last_worker_for_the_window_and_the_grace():
    outcome = simulate(trace(Arrival(1, 1.0), seconds=300), Knative(MOST))
    assert outcome.empty_at == pytest.approx(2 + KPA_STABLE + KPA_ZERO_GRACE, abs=6)


def test_a_replica_set_gives_up_what_is_not_ready_and_then_the_newest():
    workers = (
        WorkerView("a", Phase.READY),
        WorkerView("b", Phase.STARTING),
        WorkerView("c", Phase.READY, busy=True),
    )
    assert newest(workers, 2) == ("b", "c")
    assert newest(workers, -1) == ()


# The table and the traces


def test_the_table_is_aligned():
    some = trace(Arrival(1, 1.0))
    text = table([Result(some, "scripted", simulate(some, Scripted({0: Step(1)})))])
    lines = text.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == list(HEADINGS)
    assert [cell.strip() for cell in lines[2].strip("|").split("|")][:5] == ["some", "scripted", "100", "0", "0"]


@pytest.mark.parametrize("one", traces.catalog(), ids=lambda one: one.name)
def test_a_trace_is_in_order_and_ends_with_silence(one):
    assert list(one.arrivals) == sorted(one.arrivals)
    assert one.arrivals[-1].at < one.seconds - 120
    assert one.name in legend([one])
