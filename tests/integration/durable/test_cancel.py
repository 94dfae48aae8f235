"""Cancelling calls that run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import durable
import pytest

from busfn import errors


def lines(path: str) -> list[str]:
    return Path(path).read_text().split() if Path(path).exists() else []


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def test_a_running_body_gets_input_cancellation_and_its_worker_lives(path: str) -> None:
    call = durable.interrupted.spawn(path)
    until(lambda: lines(path) == ["started"])
    call.cancel()
    with pytest.raises(errors.RemoteError, match="cancelled"):
        call.get()
    until(lambda: lines(path) == ["started", "InputCancellation"])


def test_a_running_async_body_is_cancelled(path: str) -> None:
    call = durable.ainterrupted.spawn(path)
    until(lambda: lines(path) == ["started"])
    call.cancel()
    with pytest.raises(errors.RemoteError, match="cancelled"):
        call.get()
    until(lambda: lines(path) == ["started", "CancelledError"])


@pytest.mark.parametrize("terminate", [False, True])
def test_a_body_stuck_in_c_loses_its_worker_and_is_not_run_again(path: str, terminate: bool) -> None:
    call = durable.stuck.spawn(path, 60)
    until(lambda: lines(path) == ["started"])
    call.cancel(terminate_containers=terminate)
    with pytest.raises(errors.RemoteError, match="cancelled"):
        call.get()
    other = path + ".other"
    assert durable.stuck.remote(other, 0)  # max_containers is 1: the stuck worker is gone
    assert lines(path) == ["started"]


def test_a_waiting_get_is_told_of_the_cancellation(path: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    call = durable.interrupted.spawn(path)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call.get)
        until(lambda: lines(path) == ["started"])
        call.cancel()
        with pytest.raises(errors.RemoteError, match="cancelled"):
            waiting.result(timeout=20)


def test_what_a_killed_caller_had_mapped_is_taken_out_of_the_queue(path: str) -> None:
    script = (
        "import os, busfn; results = iter(busfn.Function.from_name('durable', 'slowly').map("
        f"[{path!r}] * 20, range(20))); next(results); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert done.returncode == -9
    assert durable.slowly.spawn(path, -1).get(timeout=60) == -1  # stands behind all of the map
    assert len(lines(path)) < 15
