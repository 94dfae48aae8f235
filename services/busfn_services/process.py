"""One way for every service to run: a loop, signals that ask for a stop, an exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from busfn.concurrency.loops import LoopTask
from busfn.errors import Error
from busfn.sync import new_loop

Service = Callable[[asyncio.Event], Awaitable[int]]
"""Runs until it is done or the event is set; returns the exit code."""

EXIT_FAULT = 70
"""Of a process that one of its loops has ended."""


def run_service(service: Service) -> int:
    """Run a service on this thread; SIGTERM and SIGINT ask it to stop. Errors of ours end it with a line and code 1."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        try:
            return runner.run(_supervised(service))
        except Error as error:
            print(f"busfn: {error}", file=sys.stderr)
            return 1


async def _supervised(service: Service) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    end_on_fault(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return await service(stop)


def end_on_fault(loop: asyncio.AbstractEventLoop) -> None:
    """Have the process end, with the traceback, when an endless task of this event loop fails.

    Its parent starts it again, and takes care of what it leaves, as after any crash.
    """
    loop.set_exception_handler(_on_exception)


def _on_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if not isinstance(context.get("task"), LoopTask):
        loop.default_exception_handler(context)
        return
    print(f"busfn: {context['message']}, so this process ends:", file=sys.stderr)
    traceback.print_exception(context["exception"], file=sys.stderr)
    sys.stderr.flush()
    os._exit(EXIT_FAULT)
