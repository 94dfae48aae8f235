"""More functions, longer queues."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bench import stack
from bench.app import app, gated
from bench.crowd import crowd
from bench.processes import forget_peak, peak, resident
from bench.rows.shared import Metrics, Params, seconds_of
from bench.subject import WORKERS, Subject
from busfn import App
from busfn.streams import consumers

HOT = 8
"""Functions that are called; each has a worker of its own."""


def functions(subject: Subject, params: Params) -> Metrics:
    """Calls to a few of many functions."""
    many = crowd(int(params["functions"]))
    calls, width = int(params["calls"]), int(params["width"])
    began = time.perf_counter()
    with many.run(show_logs=False):
        started = time.perf_counter() - began
        asyncio.run(_calls(many, calls // 10, width))
        took = seconds_of(lambda: asyncio.run(_calls(many, calls, width)))
        return {"calls": calls / took, "start": started, "host-rss": resident(stack.host())}


async def _calls(many: App, calls: int, width: int) -> None:
    hot = list(many.functions.values())[:HOT]

    async def one(lane: int) -> None:
        for x in range(calls // width):
            await hot[lane % len(hot)].remote.aio(x)

    await asyncio.gather(*(one(lane) for lane in range(width)))


def backlog(subject: Subject, params: Params) -> Metrics:
    """With so many inputs in the queue and both workers held: hand more over; then let the workers do all of it."""
    inputs, more = int(params["inputs"]), int(params["more"])
    gated.spawn_map([""] * more)
    _wait_until_none_is_left()
    forget_peak(os.getpid())
    with _held_workers():
        gated.spawn_map([""] * inputs)
        took = seconds_of(lambda: gated.spawn_map([""] * more))
        caller = peak(os.getpid())
        began = time.perf_counter()
    _wait_until_none_is_left()
    return {
        "accept": more / took,
        "drain": (inputs + more) / (time.perf_counter() - began),
        "caller-rss": caller,
        "host-rss": resident(stack.host()),
        "workers-rss": max(resident(pid) for pid in stack.workers()),
        "server-rss": resident(stack.server()),
    }


@contextmanager
def _held_workers() -> Generator[None]:
    """Nobody takes inputs of `gated` inside the block."""
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(folder, "gate")
        for _ in range(WORKERS):
            gated.spawn(folder)
        while len(list(Path(folder).iterdir())) < WORKERS:
            time.sleep(0.01)
        yield
        gate.touch()
        while list(Path(folder).iterdir()) != [gate]:
            time.sleep(0.001)


def _wait_until_none_is_left() -> None:
    while _left():
        time.sleep(0.02)


def _left() -> int:
    """Inputs' messages that are queued or being worked on."""
    client = app.binding.require("backlog")
    link = client.link
    jobs = consumers(link.subjects, "bench", "gated")[1]
    lag = link.portal.run(link.bus.queues.lag(jobs.stream, jobs.name))
    return lag.pending + lag.unsettled
