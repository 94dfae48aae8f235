"""Calls of deployed functions that wait for their time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import busfn

APP = """
    import time

    import busfn

    app = busfn.App("$APP")

    @app.function(scaledown_window=0.2)
    def later() -> float:
        return time.time()
"""
LATE = 8.0
"""Seconds for a controller that is killed to come back and to learn what runs, on a busy machine."""


def test_a_delayed_call_outlasts_its_controller_without_a_worker(
    own_up, app: str, script: Callable[..., str], eventually: Callable[..., None], tmp_path: Path
) -> None:
    own_up.busfn("deploy", script(APP))
    later = busfn.Function.from_name(app, "later")
    later.remote()
    asked = time.time()
    call = later.with_options(delay=6.0).spawn()
    eventually(lambda: own_up.workers(app) == [], timeout=4.0)
    os.kill(own_up.children()["controllerd"], signal.SIGKILL)
    assert asked + 6.0 <= call.get(timeout=60) < asked + 6.0 + LATE
    eventually(lambda: own_up.workers(app) == [])
