"""More functions, longer queues."""

from __future__ import annotations

import asyncio
import os
import time

from bench import stack
from bench.app import app, noop
from bench.crowd import crowd
from bench.processes import forget_peak, peak, resident
from bench.rows.shared import Metrics, Params, seconds_of
from bench.subject import Subject
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
    """Hand all inputs over while two workers take them; then wait until none is left."""
    inputs = int(params["inputs"])
    forget_peak(os.getpid())
    began = time.perf_counter()
    noop.spawn_map(range(inputs))
    accepted = time.perf_counter() - began
    while _left():
        time.sleep(0.02)
    drained = time.perf_counter() - began
    return {
        "accept": inputs / accepted,
        "drain": inputs / drained,
        "caller-rss": peak(os.getpid()),
        "host-rss": resident(stack.host()),
        "workers-rss": max(resident(pid) for pid in stack.workers()),
        "server-rss": resident(stack.server()),
    }


def _left() -> int:
    """Inputs' messages that are queued or being worked on."""
    client = app.binding.require("backlog")
    link = client.link
    jobs = consumers(link.subjects, "bench", "noop")[1]
    lag = link.portal.run(link.bus.queues.lag(jobs.stream, jobs.name))
    return lag.pending + lag.unsettled
