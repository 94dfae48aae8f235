"""Init systems and terminals send signals to all processes of a service at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import busfn
from busfn_services.parentage import descendants

APP = """
    import time
    import busfn

    app = busfn.App("$APP")

    def log(path, line):
        with open(path, "a") as file:
            file.write(line + "\\n")

    @app.function(max_containers=2)
    def work(path: str, number: int, seconds: float = 0.0) -> int:
        log(path, f"began {number}")
        time.sleep(seconds)
        log(path, f"ended {number}")
        return number
"""
BUSFN = str(Path(sys.executable).parent / "busfn")
Eventually = Callable[[Callable[[], bool]], None]
Script = Callable[..., str]


def signal_all(pid: int, number: signal.Signals) -> None:
    """To a process and all that stem from it, as nearly at once as it goes."""
    for one in (pid, *descendants(pid)):
        os.kill(one, number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stack_whose_processes_all_get_a_signal_drains_in_order(
    own_up: Any, app: str, script: Script, tmp_path: Path, eventually: Eventually, number: signal.Signals
) -> None:
    """What runs ends, once; what waits is kept for the next start. It took 42 s, and what ran was run again."""
    own_up.busfn("deploy", script(APP))
    work, path = busfn.Function.from_name(app, "work"), tmp_path / "log"
    with ThreadPoolExecutor() as pool:
        stored, asked = work.spawn(str(path), 1, 3.0), pool.submit(work.remote, str(path), 2, 3.0)
        eventually(lambda: path.exists() and len(path.read_text().splitlines()) == 2)
        waiting = work.spawn(str(path), 3)
        began = time.monotonic()
        signal_all(own_up.process.pid, number)
        own_up.process.communicate(timeout=60)
        took = time.monotonic() - began
        assert asked.result(timeout=1) == 2
    assert own_up.process.returncode == 0, own_up.log
    lines = path.read_text().splitlines()
    assert (set(lines[:2]), set(lines[2:])) == ({"began 1", "began 2"}, {"ended 1", "ended 2"})
    assert took < 20, own_up.log
    own_up.start()
    assert (stored.get(timeout=30), waiting.get(timeout=30)) == (1, 3)
    assert Counter(path.read_text().splitlines()) == Counter([*lines, "began 3", "ended 3"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_whose_processes_all_get_a_signal_drains_in_order(
    server: Any, script: Script, home: Path, name: str, tmp_path: Path, eventually: Eventually, number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("BUSFN_URL", f"nats://{server.address.token}@127.0.0.1:{server.port}")
    monkeypatch.setenv("BUSFN_ENV", name)
    monkeypatch.setenv("BUSFN_SIGNING_KEY", "a key")
    ref, path = script(APP), tmp_path / "log"
    with subprocess.Popen([BUSFN, "worker", ref, "-n", "2"], stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        assert service.stdout.readline().startswith("ready")
        work = busfn.Function.from_name(name, "work")
        running = [work.spawn(str(path), x, 3.0) for x in (1, 2)]
        eventually(lambda: path.exists() and len(path.read_text().splitlines()) == 2)
        signal_all(service.pid, number)
        assert service.wait(timeout=30) == 0
    assert [call.get(timeout=5) for call in running] == [1, 2]
    assert len(path.read_text().splitlines()) == 4
