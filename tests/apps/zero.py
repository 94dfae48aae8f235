"""Functions whose workers leave as soon as they idle."""

from __future__ import annotations

import os
import time

import busfn

app = busfn.App("zero")


@app.function(scaledown_window=0.05, max_containers=1)
def square(x: int) -> int:
    return x * x


@app.function(scaledown_window=0.05, max_containers=1)
def pid() -> int:
    return os.getpid()


@app.function(scaledown_window=0.05, max_containers=1)
def lonely(seconds: float) -> None:
    time.sleep(seconds)
