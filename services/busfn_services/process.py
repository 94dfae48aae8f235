"""One way for every service to run: a loop, signals that ask for a stop, an exit code."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable

from busfn.errors import Error
from busfn.sync import new_loop

Service = Callable[[asyncio.Event], Awaitable[int]]
"""Runs until it is done or the event is set; returns the exit code."""


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
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return await service(stop)
