"""What functions cost that nobody calls."""

from __future__ import annotations

import time

from bench.crowd import crowd
from bench.processes import cpu_seconds, resident
from bench.rows.shared import Metrics, Params
from bench.stack import host
from bench.subject import Subject


def idle(subject: Subject, params: Params) -> Metrics:
    """CPU and memory of the host process while all its functions idle at zero workers."""
    with crowd(int(params["functions"])).run(show_logs=False):
        pid = host()
        time.sleep(1)  # what starting them left to do
        began, used = time.perf_counter(), cpu_seconds(pid)
        time.sleep(params["seconds"])
        share = (cpu_seconds(pid) - used) / (time.perf_counter() - began)
        return {"host-cpu": 100 * share, "host-rss": resident(pid)}
