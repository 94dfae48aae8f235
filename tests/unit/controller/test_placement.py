"""Which host a worker is started on: the roomiest one that answers and can start it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from busfn.spec import FunctionSpec
from busfn_services.controller.launchers.placement import Placement
from busfn_services.reports import HostReport, WorkerReport

F = FunctionSpec(app="a", name="f", source={}, qualname="f", version=1)
G = FunctionSpec(app="a", name="g", source={}, qualname="g", version=1)


def host(name: str, cores: int, workers: int = 0, *, leaving: bool = False) -> HostReport:
    there = tuple(
        WorkerReport(name=f"{name}{n}", pid=1, app="a", version=1, function="f", state="ready") for n in range(workers)
    )
    return HostReport(host=name, machine=name, cores=cores, workers=there, leaving=leaving)


def test_the_roomiest_host_is_chosen_with_pending_starts_counted() -> None:
    hosts = [host("small", 2), host("large", 8, 2)]
    assert Placement().choose(hosts, [], F, 0.0) == "small"
    assert Placement().choose(hosts, ["small"], F, 0.0) == "large"
    assert Placement().choose([host("x", 4, leaving=True)], [], F, 0.0) is None


def test_a_host_that_does_not_answer_gets_nothing_for_ever_longer() -> None:
    hosts, placement, now = [host("invented", 8000), host("real", 2, 5)], Placement(), 0.0
    pauses: list[float] = []
    for _ in range(5):
        assert placement.choose(hosts, [], F, now) == "invented"
        placement.unanswered("invented", now)
        began = now
        while placement.choose(hosts, [], F, now) == "real":
            now += 0.5
        pauses.append(now - began)
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 16
    placement.forget_silence()
    assert placement.choose(hosts, [], F, 0.0) == "invented"


def test_a_host_that_cannot_start_a_version_gets_other_functions() -> None:
    hosts, placement = [host("broken", 8), host("fine", 1, 3)], Placement()
    placement.refused("broken", F, 0.0)
    assert placement.choose(hosts, [], F, 0.1) == "fine"
    assert placement.choose(hosts, [], G, 0.1) == "broken"
    assert placement.choose(hosts[:1], [], F, 0.1) == "broken"  # there is no other one
    placement.started("broken", F)
    assert placement.choose(hosts, [], F, 0.1) == "broken"


@given(st.lists(st.tuples(st.integers(0, 8192), st.integers(0, 5), st.booleans(), st.booleans()), max_size=6))
def test_whatever_hosts_there_are_one_that_answers_is_chosen_if_there_is_any(
    given_hosts: list[tuple[int, int, bool, bool]],
) -> None:
    placement, hosts = Placement(), []
    for number, (cores, workers, leaving, silent) in enumerate(given_hosts):
        hosts.append(host(f"h{number}", cores, workers, leaving=leaving))
        if silent:
            placement.unanswered(f"h{number}", 0.0)
    chosen = placement.choose(hosts, [], F, 0.5)
    good = {f"h{n}" for n, (_, _, leaving, silent) in enumerate(given_hosts) if not (leaving or silent)}
    assert chosen in good if good else chosen is None
