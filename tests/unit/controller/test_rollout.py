from __future__ import annotations

from busfn_services.controller.policy import Phase, WorkerView
from busfn_services.controller.rollout import Rollout, as_seen_by, roll

NOTHING = Rollout()


def worker(name: str, version: int, phase: Phase = Phase.READY, *, busy: bool = False, idle_for: float = 0.0):
    return WorkerView(name, phase, busy=busy, idle_for=idle_for, version=version)


def test_workers_of_the_current_version_are_left_alone():
    assert roll([worker("a", 2)], 2, None, "rolling") == NOTHING
    assert roll([worker("a", 2)], 2, None, "recreate") == NOTHING
    assert roll([], 2, None, "rolling") == NOTHING


def test_as_many_new_ones_as_old_ones_are_busy_and_one_at_least():
    assert roll([worker("a", 1)], 2, None, "rolling") == Rollout(start=1)
    busy = [worker(str(n), 1, busy=True) for n in range(3)]
    assert roll(busy, 2, None, "rolling") == Rollout(start=3)
    assert roll(busy, 2, 4, "rolling") == Rollout(start=1)


def test_old_ones_go_when_all_new_ones_are_ready():
    old = [worker("a", 1), worker("b", 1, busy=True)]
    starting, ready = worker("c", 2, Phase.STARTING), worker("d", 2)
    assert roll([*old, starting], 2, None, "rolling") == NOTHING
    assert roll([*old, starting, ready], 2, None, "rolling") == NOTHING
    assert roll([*old, ready], 2, None, "rolling") == Rollout(stop=("a", "b"))


def test_where_the_cap_leaves_no_room_the_idlest_old_one_goes_first():
    old = [worker("a", 1, busy=True), worker("b", 1, idle_for=1), worker("c", 1, idle_for=5)]
    assert roll(old, 2, 3, "rolling") == Rollout(stop=("c",))
    leaving = [worker("a", 1, busy=True), worker("c", 1, Phase.LEAVING)]
    assert roll(leaving, 2, 2, "rolling") == Rollout(stop=("a",))


def test_old_ones_stay_while_new_ones_cannot_start():
    assert roll([worker("a", 1)], 2, None, "rolling", broken=True) == NOTHING


def test_recreating_lets_old_ones_go_at_once():
    old = [worker("a", 1, busy=True), worker("b", 1, Phase.STARTING)]
    assert roll(old, 2, None, "recreate") == Rollout(stop=("a", "b"))


def test_a_version_sees_workers_of_others_as_leaving():
    seen = as_seen_by(2, [worker("a", 1), worker("b", 2)])
    assert [one.phase for one in seen] == [Phase.LEAVING, Phase.READY]
