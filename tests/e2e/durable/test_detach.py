"""`busfn run --detach`: the command ends, the app goes on until its durable work is done."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import durable
import pytest

from busfn import FunctionCall
from busfn.binding import DEFAULT
from busfn.bus.server import EmbeddedServer

BUSFN = str(Path(sys.executable).parent / "busfn")


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = EmbeddedServer.launch().wait_ready()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BUSFN_URL", server.address.servers[0].replace("://", f"://{server.address.token}@"))
    for name in ("NATS_URL", "NATS_CONTEXT", "BUSFN_ENV"):
        monkeypatch.delenv(name, raising=False)
    yield
    client, DEFAULT.client = DEFAULT.client, None
    if client is not None:
        client.close()
    server.stop()


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUSFN, "run", *args], capture_output=True, text=True, timeout=60, check=False)


def test_a_detached_call_goes_on_and_the_app_ends_with_it(bus: None, tmp_path: Path) -> None:
    path = str(tmp_path / "gate")
    done = run("-d", f"{durable.__file__}::pid_when", "--path", path)
    assert done.returncode == 0, done.stderr
    assert "goes on until its durable work is done" in done.stderr
    call = FunctionCall.from_id(done.stdout.strip())
    with pytest.raises(TimeoutError):
        call.get(timeout=0.3)
    Path(path).touch()
    worker = call.get(timeout=30)
    deadline = time.monotonic() + 30
    while alive(worker):
        assert time.monotonic() < deadline, "the app outlives its work"
        time.sleep(0.05)
    assert FunctionCall.from_id(call.object_id).get(timeout=5) == worker


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_detached_run_needs_a_bus_that_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BUSFN_URL", "NATS_URL", "NATS_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    done = run("--detach", f"{durable.__file__}::square", "--x", "3")
    assert done.returncode == 1
    assert "busfn up" in done.stderr
