"""How processes of ours run: a loop, who may ask them to stop, an exit code.

Signals that are sent to a whole group (by a terminal, by an init system, by `kill -TERM -PGID`) are for the process
that the user has started: it decides in which order the others end, and tells them through pipes and sockets.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from busfn.concurrency.loops import LoopTask
from busfn.errors import Error
from busfn.sync import new_loop

Service = Callable[[asyncio.Event], Coroutine[Any, Any, int]]
"""Runs until it is done or the event is set; returns the exit code."""
GROUP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What is sent to all processes of a group when only its leader is meant."""

EXIT_FAULT = 70
"""Of a process that one of its loops has ended."""


def run_service(service: Service) -> int:
    """Run a service that the user has started, on this thread; a signal to its group asks it to stop.

    Errors of ours end it with a line and code 1.
    """

    async def watched(stop: asyncio.Event) -> int:
        loop = asyncio.get_running_loop()
        for number in GROUP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # else `nohup` was meant
                loop.add_signal_handler(number, stop.set)
        return await service(stop)

    return _run(watched)


def run_subordinate(service: Service) -> int:
    """Run a service that another process of ours has started, on this thread; only that one asks it to stop.

    Errors of ours end it with a line and code 1.
    """
    ignore_group_signals()
    return _run(service)


def ignore_group_signals() -> None:
    """Leave signals of the group to whoever has started us.

    They are handled rather than ignored: programs that are started from here would ignore them, too.
    """
    for number in GROUP_SIGNALS:
        signal.signal(number, _leave_to_parent)


def _leave_to_parent(_number: int, _frame: object) -> None:
    """Our parent has got it, too."""


def _run(service: Service) -> int:
    async def supervised() -> int:
        end_on_fault(asyncio.get_running_loop())
        return await service(asyncio.Event())

    with asyncio.Runner(loop_factory=new_loop) as runner:
        try:
            return runner.run(supervised())
        except Error as error:
            print(f"busfn: {error}", file=sys.stderr)
            return 1


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
