"""Workers that live and hear nothing of the bus: `busfn health` turns red, and their host replaces them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from proxies import Proxy

import busfn

APP = """
    import os, time

    import busfn
    from busfn.binding import DEFAULT

    app = busfn.App("$APP")

    @app.function(min_containers=1, max_containers=1)
    def blocked(seconds: float = 0.0) -> int:
        loop = DEFAULT.client.link.portal.loop
        if seconds:
            loop.call_soon_threadsafe(loop.call_later, 0.5, time.sleep, seconds)
        return os.getpid()

    @app.function(min_containers=1, max_containers=1)
    def cut() -> int:
        return os.getpid()
"""


def red(up: Any) -> dict[str, str]:
    """What `busfn health` complains about."""
    done = up.run("health", "--json")
    found = {check["what"]: check["text"] for check in json.loads(done.stdout) if not check["ok"]}
    assert done.returncode == (1 if found else 0)
    return found


def test_deaf_workers_turn_health_red_and_are_replaced(
    proxy: Proxy, own_up, app: str, script: Callable[..., str], eventually: Callable[..., None]
) -> None:
    own_up.busfn("deploy", script(APP))
    functions = {name: busfn.Function.from_name(app, name) for name in ("blocked", "cut")}
    before = {name: function.remote() for name, function in functions.items()}
    names = {one.function: one.name for one in own_up.workers(app)}
    assert red(own_up) == {}
    functions["blocked"].remote(600.0)
    assert proxy.cut(names["cut"]) == 1
    seen: dict[str, str] = {}

    def both_were_red() -> bool:
        seen.update(red(own_up))
        return {f"worker {name}" for name in names.values()} <= set(seen)

    eventually(both_were_red)
    for name in names.values():
        assert "alive but deaf" in seen[f"worker {name}"]
        assert f"busfn worker stop {name}" in seen[f"worker {name}"]

    def both_are_replaced() -> bool:
        return {one.pid for one in own_up.workers(app) if one.state == "ready"}.isdisjoint(before.values())

    eventually(both_are_replaced)
    eventually(lambda: len(own_up.workers(app)) == 2)
    for name, function in functions.items():
        assert function.remote() != before[name]
    eventually(lambda: red(own_up) == {})
    assert own_up.busfn("app", "logs", app).count("did not hear the bus any more and was killed") == 2
