"""The server is out of reach for longer than anything waits for it: workers stay, and go on once it is back."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from proxies import Proxy

import busfn
from busfn.binding import DEFAULT
from busfn.streams import consumers

APP = """
    import os, time

    import busfn

    app = busfn.App("$APP")

    @app.function(min_containers=3, max_containers=3)
    def pid() -> int:
        time.sleep(0.05)
        return os.getpid()
"""
OUTAGE = 7.0
"""Seconds: longer than the lease of the controller that leads, and than hosts may be silent."""
LONG_OUTAGE = 60.0


def all_answer(ask: Callable[[], int], wanted: set[int], what: str) -> None:
    """Until every worker has answered; the figure is for people."""
    began, answered = time.monotonic(), set[int]()
    with ThreadPoolExecutor(6) as pool:
        while answered != wanted:
            assert time.monotonic() < began + 60, f"only {answered} of {wanted} have answered"
            answered.update(pool.map(lambda _: ask(), range(6)))
    print(f"{what}: all workers had answered after {time.monotonic() - began:.1f} s")


def test_workers_outlast_an_outage_and_the_loss_of_their_consumers(
    proxy: Proxy, own_up, app: str, script: Callable[..., str], eventually, request: pytest.FixtureRequest
) -> None:
    own_up.busfn("deploy", script(APP))
    function = busfn.Function.from_name(app, "pid")
    eventually(lambda: [one.state for one in own_up.workers(app)] == ["ready"] * 3)
    before = {one.pid for one in own_up.workers(app)}
    proxy.cut()
    time.sleep(LONG_OUTAGE if request.config.getoption("--full") else OUTAGE)
    proxy.heal()
    all_answer(function.remote, before, "outage")
    assert {one.pid for one in own_up.workers(app)} == before
    link = DEFAULT.require("a test").link
    for consumer in consumers(link.subjects, app, "pid"):
        link.portal.run(link.bus.queues.delete_consumer(consumer.stream, consumer.name))
    all_answer(lambda: function.spawn().get(timeout=30), before, "consumers deleted")
    assert {one.pid for one in own_up.workers(app)} == before
