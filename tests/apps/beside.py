"""Long bodies, which last until the test lets them go, and short ones beside them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import busfn

app = busfn.App("beside")

PATIENCE = 20.0


def _body(path: str) -> int:
    """Short without a path; else it says there that it has begun, and lasts until the path is removed."""
    if path:
        Path(path).touch()
        deadline = time.monotonic() + PATIENCE
        while Path(path).exists() and time.monotonic() < deadline:
            time.sleep(0.005)
    return os.getpid()


@app.function(max_containers=4, scaledown_window=0.1)
def hold(path: str = "") -> int:
    return _body(path)


@app.function(max_containers=4, scaledown_window=0.1)
def hold_items(path: str = "") -> Iterator[int]:
    yield _body(path)
