"""A host that stands still or cannot reach the server, and others that go on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from leases import shorten_leases
from proxies import Proxy
from sites import Site, named, until

from busfn.binding import DEFAULT


def lines(path: str) -> list[str]:
    return Path(path).read_text().split() if Path(path).exists() else []


TOLD = "the first result is kept, this one is refused"


def test_hosts_that_stand_still_or_are_cut_off_lose_their_leases_and_are_told(
    site: Site, path: str, full: bool
) -> None:
    if not full:
        shorten_leases("durable", "waits", 12.0)
    with Proxy("127.0.0.1", site.server.port) as network:
        frozen, cut_off = site.serve("waits", 1), site.serve("waits", 1, network.port)
        calls = [named("waits").spawn(path) for _ in range(2)]
        until(lambda: len(lines(path)) == 2)
        frozen.signal(signal.SIGSTOP)
        network.cut()
        began = time.monotonic()
        site.serve("waits", 2)
        try:
            until(lambda: len(lines(path)) == 4)  # the server has taken the inputs back, and the third host has them
            Path(path + ".go").touch()
            first = [call.get(timeout=30) for call in calls]
            if full:
                time.sleep(max(0.0, 40 - (time.monotonic() - began)))
        finally:
            frozen.signal(signal.SIGCONT)
            network.heal()
        until(lambda: TOLD in frozen.said and TOLD in cut_off.said)
        assert sorted(first) == sorted(int(pid) for pid in lines(path)[2:])
        assert [call.get() for call in calls] == first
        site.dismiss_but(cut_off)
        assert named("waits").spawn(path).get(timeout=60) == int(lines(path)[-1])
        site.dismiss()  # while it can reach the server


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


def limit_queue(most: int) -> None:
    """An operator's limit on the stream of inputs."""
    link = DEFAULT.require("a test").link
    stream, api = link.subjects.stream("JOBS"), link.bus.queues.api
    config = link.portal.run(api.call(f"STREAM.INFO.{stream}"))["config"]
    link.portal.run(api.call(f"STREAM.UPDATE.{stream}", {**config, "max_bytes": most}))


def test_the_rest_of_a_chunk_that_finds_no_room_in_the_queue_is_not_lost(site: Site, path: str, full: bool) -> None:
    if not full:
        pytest.skip("takes 20 s: run with --full")
    site.serve("waits", 1).stop()  # makes the streams
    call = named("waits").spawn_map([path] * 4)
    limit_queue(1)  # less than there is: everything is refused
    site.serve("waits", 1)
    until(lambda: lines(path))
    time.sleep(17)  # longer than the worker tries to give back what it has not started
    limit_queue(-1)
    Path(path + ".go").touch()
    assert [call.get(timeout=60, index=index) > 0 for index in range(4)] == [True] * 4


def test_a_full_queue_that_refuses_the_rest_of_a_chunk_late_makes_nothing_run_twice(site: Site, path: str) -> None:
    site.serve("waits", 1).stop()  # makes the streams
    call = named("waits").spawn_map([path] * 4)
    limit_queue(1)  # less than there is: everything is refused
    site.serve("waits", 1)
    until(lambda: lines(path))
    os.kill(site.server.pid, signal.SIGSTOP)
    try:
        time.sleep(1.2)  # the rest is offered every second, so now the answer is due
        Path(path + ".go").touch()
        time.sleep(0.3)  # what was started ends; it passes without that, too
    finally:
        os.kill(site.server.pid, signal.SIGCONT)
    assert [call.get(timeout=60, index=index) > 0 for index in range(4)] == [True] * 4
    limit_queue(-1)
    assert len(lines(path)) == 4


def test_an_input_that_has_ended_is_not_over_its_time_while_its_result_cannot_be_stored(site: Site, path: str) -> None:
    site.serve("brief", 1)
    call = named("brief").spawn(path)
    until(lambda: lines(path))
    os.kill(site.server.pid, signal.SIGSTOP)
    try:
        Path(path + ".go").touch()
        time.sleep(6)  # its timeout, the grace of those that do not react to it, and the server's for who is gone
    finally:
        os.kill(site.server.pid, signal.SIGCONT)
    assert [str(call.get(timeout=60))] == lines(path)


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
