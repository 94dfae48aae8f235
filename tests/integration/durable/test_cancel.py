"""Cancelling calls that run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import durable
import pytest

from busfn import FunctionCall, errors
from busfn.ids import new_call_id
from busfn.invoke.durable import CallRef, Standing


def busfn(*args: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "busfn"), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


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


def test_cancelling_what_has_ended_changes_nothing(path: str) -> None:
    call = durable.square.spawn(6)
    assert call.get(timeout=20) == 36
    many = durable.square.spawn_map(range(3))
    assert list(many.iter()) == [0, 1, 4]
    for ended in (call, many):
        ended.cancel()
        done = busfn("call", "cancel", ended.object_id)
        assert (done.returncode, "has ended already" in done.stderr) == (0, True), done.stderr
    states = json.loads(busfn("call", "list", "--function", "square", "--json").stdout)
    assert {one["state"] for one in states if one["id"] in (call.object_id, many.object_id)} == {"done"}


def test_a_call_that_lacks_results_is_open_though_nothing_is_queued() -> None:
    """Its caller is still handing it over, or its size is all that is left of it."""
    client = durable.app.binding.require("the app")
    ref = CallRef.parse(f"durable.square.{new_call_id()}")
    client.link.portal.run(client.durable.note_size(ref, 2))
    standings = [client.link.portal.run(client.durable.stop(ref, terminate=False)) for _ in range(2)]
    assert standings == [Standing.OPEN, Standing.CANCELLED]


def test_a_call_that_nobody_knows_is_an_error_that_says_what_to_check() -> None:
    unknown = FunctionCall.from_id(f"durable.square.{new_call_id()}")
    for work in (unknown.cancel, unknown.get_call_graph):
        with pytest.raises(errors.NotFoundError, match=f"{unknown.object_id} is not known in environment 'main'"):
            work()
    for command in ("get", "cancel", "graph"):
        done = busfn("call", command, unknown.object_id)
        assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (1, "", False)
        for part in ("environment 'main'", "kept for 7 days", "there never was such a call", "--env", "BUSFN_URL"):
            assert part in done.stderr, done.stderr
