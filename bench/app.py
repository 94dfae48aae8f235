"""The functions that are measured."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import busfn
from bench.subject import WORKERS

app = busfn.App("bench")


@app.function(min_containers=WORKERS, max_containers=WORKERS)
def noop(x: int) -> int:
    return x


@app.function(max_containers=WORKERS)
def sleeps(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@app.function(max_containers=1)
def count_to(count: int) -> Iterator[int]:
    yield from range(count)


@app.function(max_containers=1)
def echo(payload: bytes) -> bytes:
    """The same bytes would not be stored and sent again, so they are others: turned by one."""
    return b"".join((memoryview(payload)[1:], payload[:1]))


@app.function(max_containers=1)
def echo_large(payload: bytes) -> bytes:
    return payload if payload else str(os.getpid()).encode()


@app.function(max_containers=WORKERS)
def gated(folder: str) -> None:
    """Does nothing; or, with a folder, holds its worker until there is a gate in it."""
    if folder:
        mark = Path(folder, str(os.getpid()))
        mark.touch()
        while not Path(folder, "gate").exists():
            time.sleep(0.001)
        mark.unlink()


@app.function(max_containers=1, scaledown_window=0.05)
def cold() -> int:
    return os.getpid()


@app.function(max_containers=WORKERS)
def victim(mark: str) -> float:
    """The first run leaves its process id and waits to be killed; the second tells when it began."""
    began = time.perf_counter()
    path = Path(mark)
    if path.exists():
        return began
    path.with_suffix(".new").write_text(str(os.getpid()))
    path.with_suffix(".new").rename(path)
    time.sleep(60)
    return 0.0
