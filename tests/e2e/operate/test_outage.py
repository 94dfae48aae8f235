"""The server is out of reach for longer than anything waits for it: workers stay, and go on once it is back."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from proxies import Proxy

import busfn

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


def test_workers_outlast_an_outage(
    proxy: Proxy, own_up, app: str, script: Callable[..., str], eventually, request: pytest.FixtureRequest
) -> None:
    own_up.busfn("deploy", script(APP))
    function = busfn.Function.from_name(app, "pid")
    eventually(lambda: [one.state for one in own_up.workers(app)] == ["ready"] * 3)
    before = {one.pid for one in own_up.workers(app)}
    proxy.cut()
    time.sleep(LONG_OUTAGE if request.config.getoption("--full") else OUTAGE)
    proxy.heal()
    healed = time.monotonic()
    answered: set[int] = set()

    def all_have_answered() -> bool:
        with ThreadPoolExecutor(6) as pool:
            answered.update(pool.map(lambda _: function.remote(), range(6)))
        return answered == before

    eventually(all_have_answered)
    print(f"all workers had answered {time.monotonic() - healed:.1f} s after the outage")
    assert {one.pid for one in own_up.workers(app)} == before
    assert function.spawn().get(timeout=30) in before
