"""A host that stands still or cannot reach the server, and others that go on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from leases import shorten_leases
from sites import Site, named


def until(condition: Callable[[], object], patience: float = 60.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def lines(path: str) -> list[str]:
    return Path(path).read_text().split() if Path(path).exists() else []


def test_a_host_that_stood_still_has_lost_its_leases_and_is_told(site: Site, path: str, full: bool) -> None:
    site.serve("square", 1).stop()  # makes the streams
    if not full:
        shorten_leases("durable", "waits", 12.0)  # hosts renew them every 10 s
    frozen = site.serve("waits", 1)
    call = named("waits").spawn(path)
    until(lambda: len(lines(path)) == 1)
    frozen.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    other = site.serve("waits", 1)
    try:
        until(lambda: len(lines(path)) == 2)  # the server has taken the input back, and the other host has it
        Path(path + ".go").touch()
        first = call.get(timeout=30)
        if full:
            time.sleep(max(0.0, 40 - (time.monotonic() - stopped)))
    finally:
        frozen.signal(signal.SIGCONT)
    until(lambda: "the first result is kept, this one is refused" in frozen.said)
    assert [first, call.get()] == [int(lines(path)[1])] * 2
    assert named("waits").spawn(path).get(timeout=30)
    assert other.said == ""


def test_workers_lost_while_the_server_is_away_are_made_up_for(site: Site, path: str) -> None:
    service = site.serve("waits", 2)
    calls = [named("waits").spawn(path) for _ in range(6)]
    until(lambda: len(lines(path)) == 2)
    site.kill_server()
    for pid in lines(path):
        os.kill(int(pid), signal.SIGKILL)
    until(lambda: service.said.count("was killed by SIGKILL") == 2)
    time.sleep(12)  # longer than a host tries to reach a server once
    site.restart_server()
    Path(path + ".go").touch()
    assert all(call.get(timeout=60) for call in calls)
    assert len(lines(path)) == 8  # the two that were lost ran twice


@pytest.mark.parametrize("away", [signal.SIGSTOP, signal.SIGKILL])
def test_get_keeps_to_its_timeout_whatever_the_server_does(site: Site, path: str, away: signal.Signals) -> None:
    site.serve("waits", 1)
    call = named("waits").spawn(path)
    until(lambda: len(lines(path)) == 1)
    os.kill(site.server.pid, away)
    try:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            call.get(timeout=1.0)
        assert time.monotonic() - began < 5  # not what requests to a server that is away may take
    finally:
        if away is signal.SIGSTOP:
            os.kill(site.server.pid, signal.SIGCONT)
        else:
            site.server.wait_exit()
            site.restart_server()
    Path(path + ".go").touch()
    assert call.get(timeout=60)
