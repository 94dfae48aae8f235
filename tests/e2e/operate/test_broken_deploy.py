"""A deployed app that cannot start: health is red, those who wait are told, and what was accepted runs when it can."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import busfn
from busfn import errors

APP = """
    import os

    if "BUSFN_WORKER_ID" in os.environ and not os.path.exists({mark!r}):
        raise ImportError("!" * 200_000 + " no such driver")

    import busfn

    app = busfn.App("$APP")

    @app.function()
    def f(x: int) -> int:
        return x

    @app.function()
    def g(x: int) -> int:
        return x
"""

Eventually = Callable[[Callable[[], bool]], None]


def wrong(up: Any) -> list[dict[str, Any]]:
    return [check for check in json.loads(up.run("health", "--json").stdout) if not check["ok"]]


def test_a_deployed_app_that_cannot_start_is_seen(
    own_up, app: str, script: Callable[..., str], eventually: Eventually, tmp_path: Path
) -> None:
    mark = tmp_path / "mended"
    own_up.busfn("deploy", script(APP.format(mark=str(mark))))
    assert wrong(own_up) == []
    call = busfn.Function.from_name(app, "f").spawn(1)
    with pytest.raises(errors.ServiceError, match="no such driver") as caught:
        call.get(timeout=60)
    assert call.object_id in str(caught.value)
    assert len(str(caught.value)) < 10_000  # an error of 200 kB is shortened, and does not get lost
    [check] = wrong(own_up)
    assert check["what"] == f"function {app}/f"
    assert "no such driver" in check["text"]
    assert "1 messages wait" in check["text"]
    assert own_up.run("health").returncode == 1
    mark.touch()
    eventually(lambda: wrong(own_up) == [])
    assert call.get(timeout=60) == 1
