"""What dies is made up for: workers, the server, callers. The truth is an append-only file that the bodies write."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from leases import shorten_leases
from sites import Site, in_background, named


def lines(path: str) -> list[list[str]]:
    return [line.split() for line in Path(path).read_text().splitlines()] if Path(path).exists() else []


def kill_somebody(path: str) -> None:
    """A random one of the workers that were busy just now."""
    pids = {int(pid) for _, _, pid, _ in lines(path)[-40:]}
    if not pids:
        return
    pid = random.choice(sorted(pids))
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # it had died before
        return
    with open(path, "a") as file:
        file.write(f"death ? {pid} {time.time()}\n")


def recoveries(path: str) -> list[float]:
    """Seconds from each death to the next start of the input that it interrupted."""
    running: dict[str, str] = {}
    waiting: dict[str, float] = {}
    found: list[float] = []
    for event, x, pid, when in sorted(lines(path), key=lambda line: float(line[3])):
        if event == "start":
            running[pid] = x
            if x in waiting:
                found.append(float(when) - waiting.pop(x))
        elif event == "end":
            running.pop(pid, None)
        elif pid in running:
            waiting[running.pop(pid)] = float(when)
    return found


@pytest.mark.parametrize("death", ["kill", "exit", "segfault", "memory"])
def test_workers_that_die_all_the_time_lose_and_double_nothing(
    site: Site, path: str, death: str, full: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    size = 5000 if full else 400
    if not full:
        shorten_leases("durable", "dying", 5.0)  # what is on its way to a worker that dies waits for its lease
    site.serve("dying", 4)

    def kill_workers(stop: threading.Event) -> None:
        while not stop.wait(0.3):
            if death == "kill":
                kill_somebody(path)
            else:
                Path(path + ".order").write_text(death)
                os.replace(path + ".order", path + ".die")  # the body that sees it first takes its worker down

    began = time.time()
    calls = [named("dying").spawn(path, x) for x in range(size)]
    end = in_background(kill_workers)
    try:
        results = [call.get(timeout=120) for call in calls]
    finally:
        end()
    assert results == list(range(size))
    events = lines(path)
    assert {x for event, x, _, _ in events if event == "end"} == {str(x) for x in range(size)}
    deaths, took = sum(event == "death" for event, *_ in events), sorted(recoveries(path))
    assert deaths >= 3
    assert took
    with capsys.disabled():
        if full:
            last = took[int(0.99 * len(took))]
            print(
                f"\n{death}: {size} calls, {time.time() - began:.1f} s, {deaths} deaths, started again after"
                f" {took[len(took) // 2]:.3f} s (median), {last:.3f} s (p99), {took[-1]:.3f} s (most)"
            )


def test_a_server_killed_and_restarted_loses_nothing(site: Site, path: str, full: bool) -> None:
    many, single = 1500, 2000 if full else 100
    site.serve("logged", 2)
    call = named("logged").spawn_map([path] * many, range(many))
    singles = [named("logged").spawn(path, many + x) for x in range(single)]
    while not Path(path).exists() or len(Path(path).read_text().split()) < 200:
        time.sleep(0.01)
    site.kill_server()
    site.restart_server()
    assert list(call.iter()) == list(range(many))
    assert [each.get(timeout=60) for each in singles] == [many + x for x in range(single)]
    ran = Counter(Path(path).read_text().split())
    assert len(ran) == many + single


CALLER = """
import busfn, signal, sys
f = busfn.Function.from_name("durable", "logged")
many = f.spawn_map([sys.argv[1]] * 200, range(200))
print(many.object_id, f.spawn(sys.argv[1], 200).object_id, flush=True)
signal.pause()
"""
ASKER = """
import busfn, sys
many, one = map(busfn.FunctionCall.from_id, sys.argv[1:])
assert list(many.iter()) == list(range(200))
assert one.get(timeout=60) == 200
"""


def test_a_caller_killed_after_spawn_and_then_the_server_lose_nothing(site: Site, path: str) -> None:
    """And there is no worker when the work is accepted."""
    site.serve("logged", 1)  # creates the streams
    site.dismiss()
    with subprocess.Popen([sys.executable, "-c", CALLER, path], stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        ids = caller.stdout.readline().split()
        caller.kill()
    site.kill_server()
    site.restart_server()
    site.serve("logged", 2)
    subprocess.run([sys.executable, "-c", ASKER, *ids], timeout=90, check=True)
    assert set(Counter(Path(path).read_text().split())) == {str(x) for x in range(201)}
