"""How fast things start: a worker, a command, an import, a second run after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.app import cold, victim
from bench.rows.shared import Metrics, Params, seconds_of
from bench.subject import Subject

ROOT = Path(__file__).parents[2]


def zero(subject: Subject, params: Params) -> Metrics:
    """A call to a function whose last worker has left."""
    return {"first-result": 1e3 * median(_start_once() for _ in range(int(params["times"])))}


def run_hello(subject: Subject, params: Params) -> Metrics:
    """The command as a user types it."""
    busfn = str(Path(sys.executable).with_name("busfn"))
    arguments = [busfn, "run", str(ROOT / "examples" / "hello.py")]
    return {"wall": median(_seconds_of_command(arguments) for _ in range(int(params["times"])))}


def import_time(subject: Subject, params: Params) -> Metrics:
    """An interpreter that imports busfn, less one that imports nothing."""
    times = range(int(params["times"]))
    pairs = [(_seconds_of_command([sys.executable, "-c", "import busfn; busfn.App"]), _bare()) for _ in times]
    return {"over-bare": 1e3 * (median(ours for ours, _ in pairs) - median(bare for _, bare in pairs))}


def killed(subject: Subject, params: Params) -> Metrics:
    """From the kill to the first line of the body's second run."""
    return {"re-run": 1e3 * median(_kill_once() for _ in range(int(params["times"])))}


def _start_once() -> float:
    _wait_until(_gone(cold.remote()))
    return seconds_of(cold.remote)


def _gone(pid: int) -> Callable[[], bool]:
    return lambda: not Path(f"/proc/{pid}").exists()


def _kill_once() -> float:
    with tempfile.TemporaryDirectory() as folder:
        mark = Path(folder, "mark")
        began: list[float] = []
        caller = threading.Thread(target=lambda: began.append(victim.remote(str(mark))))
        caller.start()
        _wait_until(mark.exists)
        at = time.perf_counter()
        os.kill(int(mark.read_text()), signal.SIGKILL)
        caller.join()
        return began[0] - at


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + 30
    while not condition():
        if time.perf_counter() > deadline:
            raise TimeoutError("it did not happen within 30 s")
        time.sleep(0.005)


def _bare() -> float:
    return _seconds_of_command([sys.executable, "-c", "pass"])


def _seconds_of_command(arguments: list[str]) -> float:
    return seconds_of(lambda: subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL))
