"""Functions whose calls wait for their time; their workers leave as soon as they idle."""

from __future__ import annotations

import time
from pathlib import Path

import busfn

app = busfn.App("delayed")

PAUSE = 3.0
RETRIES = busfn.Retries(max_retries=2, initial_delay=PAUSE, backoff_coefficient=1.0)


def _note(path: str) -> int:
    with open(path, "a") as file:
        file.write(f"{time.time()}\n")
    return len(Path(path).read_text().splitlines())


@app.function(scaledown_window=0.2)
def later(path: str) -> int:
    """Notes when it runs; how often it has."""
    return _note(path)


@app.function(scaledown_window=0.2, retries=RETRIES)
def flaky(path: str) -> int:
    """Fails the first time."""
    times = _note(path)
    if times < 2:
        raise ValueError("the first time")
    return times
