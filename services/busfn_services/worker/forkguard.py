"""Children that user code forks from a worker: programs of its own, never a second worker.

Whatever a child does, it has neither our table nor our socket nor our handlers of signals. When it comes out of user
code, where it would go on as the worker does, it is ended instead.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from busfn.tracebacks import user_traceback
from busfn_services.ours import is_framework_file
from busfn_services.process import GROUP_SIGNALS

TIMEOUT_SIGNAL = signal.SIGUSR2
"""Sent by the supervisor when a body is over its time, and by the loop thread when its call is cancelled."""
_NO_LOOP = "busfn: a child that was forked in an async body cannot use its parent's event loop, and is ended\n"


class ForkGuard:
    """Tells the worker from its forked children. There is one in a process."""

    def __init__(self) -> None:
        self.is_child = False
        """User code has forked this process from the worker."""

    def watch(self, *abandon: Callable[[], None]) -> None:
        """From now on; in a child all of ``abandon`` is called, to let go of what is the worker's."""

        def in_child() -> None:
            self.is_child = True
            _restore_signals()
            for let_go in abandon:
                let_go()

        os.register_at_fork(after_in_child=in_child)

    def leave_if_child(self) -> None:
        """`leave` if this is a child that goes on as the worker does."""
        if self.is_child:
            self.leave()

    def leave(self, error: BaseException | None = None) -> NoReturn:
        """End this child as the interpreter ends a script: with a `SystemExit`'s code, or with a traceback and 1."""
        code = 0
        if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
            code = error.code or 0
        elif isinstance(error, SystemExit):
            code = 1
            sys.stderr.write(f"{error.code}\n")
        elif error is not None:
            code = 1
            sys.stderr.write(user_traceback(error, is_framework_file))
        _exit(code)

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """A loop of the kind that user code has chosen; asyncio's own one ends a child that would use it."""
        loop = asyncio.new_event_loop()
        if type(loop) is not asyncio.SelectorEventLoop:
            return loop
        loop.close()
        return asyncio.SelectorEventLoop(_OwnSelector(self))


class _OwnSelector(selectors.DefaultSelector):
    """Of the worker's process only: to the kernel that of a forked child is the same one."""

    def __init__(self, guard: ForkGuard) -> None:
        super().__init__()
        self._guard = guard

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._guard.is_child:
            sys.stderr.write(_NO_LOOP)
            _exit(1)
        return super().select(timeout)


def _restore_signals() -> None:
    """What the worker does on a signal is not what its child shall do; handlers of user code stay."""
    signal.set_wakeup_fd(-1)
    ours = {number: signal.getsignal(number) for number in (*GROUP_SIGNALS, TIMEOUT_SIGNAL)}
    for number, handler in ours.items():
        if getattr(handler, "__module__", "").startswith(("busfn_services.", "asyncio.")):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _exit(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
