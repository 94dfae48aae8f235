"""Programs that bodies have started end with the run, whoever of it is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from processes import wait_all_gone, wait_gone

from busfn_services.parentage import children, descendants

APP = """
    import os, signal, subprocess, sys, time
    import busfn

    app = busfn.App("leaver")

    def start(path):
        stubborn = 'trap : TERM; echo $$ >> $0; while :; do sleep 1; done'
        shell = f"setsid sh -c '{stubborn}' $0 & sleep 300 & echo $! >> $0"
        subprocess.run(["sh", "-c", shell, path], env={"PATH": os.environ["PATH"]})
        while len(open(path).read().split()) < 2:
            time.sleep(0.01)

    @app.function(timeout=2)
    def leave(path):
        start(path)

    @app.function()
    def stay(path):
        start(path)
        print("staying", flush=True)
        while True:
            try:
                subprocess.run(["sleep", "305"])
            except BaseException:
                pass

    @app.function(timeout=1)
    def stuck(path):
        start(path)
        while True:
            try:
                subprocess.run(["sleep", "305"])
            except BaseException:
                pass
"""


@pytest.fixture
def path(cli) -> str:
    cli.script("leaver.py", APP)
    return str(cli.folder / "pids")


def left(path: str) -> list[int]:
    return list(map(int, Path(path).read_text().split()))


@pytest.mark.parametrize(("name", "code"), [("leave", 0), ("stuck", 1)])
def test_orphaned_program_is_gone_when_the_run_has_ended(cli, path: str, name: str, code: int) -> None:
    """At once: whoever waits for the run may use what the programs have used."""
    assert cli("run", f"leaver.py::{name}", "--path", path).code == code
    found = left(path)
    assert len(found) == 2
    wait_all_gone(found, 0.0)
    assert cli.leftovers() == []


def staying(cli, path: str, poll: Callable[..., None]):
    run = cli.start("run", "leaver.py::stay", "--path", path)
    while "staying" not in (line := run.error_line()):
        assert line
    return run


ENDS = {signal.SIGINT: 130, signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.mark.parametrize("number", ENDS)
def test_programs_end_with_a_run_that_is_ended(cli, path: str, poll: Callable[..., None], number) -> None:
    run = staying(cli, path, poll)
    run.signal(number)
    assert run.wait() == ENDS[number]
    wait_all_gone(left(path))


@pytest.mark.parametrize("command", ["run", "serve", "worker"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_all_processes_ends_a_command(
    cli, path: str, poll: Callable[..., None], command: str, number
) -> None:
    """Also the server that it has started gets it."""
    if command == "run":
        run = staying(cli, path, poll)
    else:
        run = cli.start(command, "leaver.py")
        assert run.line().startswith("ready")
    for pid in (run.pid, *descendants(run.pid)):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    assert run.end().code == {"run": 128 + number, "serve": 130, "worker": 0}[command]


@pytest.mark.parametrize("who", ["host", "fork server", "worker"])
def test_programs_end_with_whoever_of_the_run_is_killed(cli, path: str, poll: Callable[..., None], who: str) -> None:
    run = staying(cli, path, poll)
    host = next(
        pid for pid, line in cli.processes().items() if "busfn_services.host" in line and pid in children(run.pid)
    )
    [forks] = children(host)
    [worker] = [pid for pid in children(forks) if "busfn_services.host" in cli.processes().get(pid, "")]
    os.kill({"host": host, "fork server": forks, "worker": worker}[who], signal.SIGKILL)
    wait_gone(worker)
    wait_all_gone(left(path)[:2])
    run.signal(signal.SIGINT)
    run.wait()
