"""What health says of hosts, their loops, and functions that cannot be started."""

from __future__ import annotations

from busfn_cli.health import checks_of, loop_checks, trouble
from busfn_services.reports import HostReport, LoopReport, Trouble, WorkerReport

WORKER = WorkerReport(name="w1", pid=7, app="shop", version=1, function="f", state="ready")
FINE = LoopReport(name="scan", age=0.2, limit=5.0)


def host(*loops: LoopReport, worker: WorkerReport = WORKER) -> HostReport:
    return HostReport(host="h1", machine="box", cores=2, workers=(worker,), loops=loops)


def test_a_host_whose_loops_turn_is_well() -> None:
    checks = list(checks_of([host(FINE)]))
    assert [(check.what, check.ok) for check in checks] == [("host h1", True), ("worker w1", True)]


def test_a_loop_that_is_late_or_met_a_fault_is_shown_with_its_process() -> None:
    late = LoopReport(name="scan", age=17.4, limit=5.0)
    faulty = LoopReport(name="pool shop.f", limit=30.0, fault="shop.f: KeyError: 'x'")
    wrong = [check for check in checks_of([host(late, faulty, FINE)]) if not check.ok]
    assert [check.what for check in wrong] == ["host h1", "host h1"]
    assert "'scan' has not turned for 17 s" in wrong[0].text
    assert "KeyError: 'x'" in wrong[1].text
    assert list(loop_checks("controller", [FINE])) == []


def test_without_a_host_nothing_can_run() -> None:
    assert [check.ok for check in checks_of([])] == [False]


def test_a_function_that_cannot_be_started_is_shown_with_its_error_and_backlog() -> None:
    text = "Traceback ...\n  File ...\nImportError: no such driver\n"
    check = trouble(Trouble(app="shop", version=3, function="f", failures=4, waiting=12, text=text))
    assert not check.ok
    assert check.what == "function shop/f"
    for part in ("version 3", "4 attempts", "12 messages wait", "ImportError: no such driver"):
        assert part in check.text
    assert "Traceback" not in check.text
    assert len(trouble(Trouble(app="a", version=1, function="f", failures=2, waiting=0, text="x" * 4000)).text) < 600
