"""What a process tells of its own loops."""

from __future__ import annotations

import time

from busfn.concurrency.loops import states
from busfn_services.reports import MAX_LOOPS, LoopReport, one_line


def loop_reports() -> tuple[LoopReport, ...]:
    """The loops of the running event loop, those that are worst off first."""
    found = states(time.monotonic())[:MAX_LOOPS]
    return tuple(
        LoopReport(name=one_line(one.name), age=round(one.age, 1), limit=one.limit, fault=one_line(one.fault))
        for one in found
    )
