"""Programs that user code has started and that outlive their worker, however it ended: they are ended with it.

A worker leads a session and a process group. On Linux, what has left them is found as well: it bears the mark of its
worker, and the fork server, to whom the worker was a child, is the parent of whatever the worker leaves behind.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from busfn_services.parentage import children, descendants, mark_of

FAREWELL = 0.5
"""Seconds between SIGTERM and SIGKILL."""
AGAIN = 0.05
"""Seconds between looks at what does not end though it was killed."""
ROUND = 0.005
PATIENCE = 5.0
"""Seconds after which it is given up: a process that waits for a broken disk does not even die of SIGKILL."""


def exit_code(pid: int) -> int | None:
    """That of a child that has ended, else None. The child is not waited for where that is possible: its number, which
    is that of its group, goes to no other process before `Leftovers` are done."""
    if hasattr(os, "waitid"):
        result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is None:
            return None
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


@dataclass(slots=True)
class _Ended:
    """A worker that is not waited for yet."""

    since: float
    due: float
    """When to look again, if nothing ends before."""


class Leftovers:
    """What ended workers have left behind. Belongs to the process that is their parent."""

    def __init__(self) -> None:
        self._ended: dict[int, _Ended] = {}

    def add(self, pid: int) -> None:
        """This worker has ended: ask what it has left behind to end, too."""
        now = time.monotonic()
        self._ended[pid] = _Ended(now, now + FAREWELL)
        _signal(pid, self._of(pid), signal.SIGTERM)

    def wait(self) -> float | None:
        """Seconds until `sweep` is due; None when it is not."""
        if not self._ended:
            return None
        return max(0.0, min(ended.due for ended in self._ended.values()) - time.monotonic())

    def sweep(self, workers: dict[int, str]) -> None:
        """Wait for adopted processes that have ended, kill what did not end when it was asked to, and forget what is
        done. ``workers`` are those that live."""
        adopted = [pid for pid in children(os.getpid()) if pid not in workers and pid not in self._ended]
        for pid in adopted:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        now = time.monotonic()
        for pid, ended in list(self._ended.items()):
            left = self._of(pid)
            if not left or now - ended.since > PATIENCE:
                self._bury(pid)
            elif now >= ended.due:
                ended.due = now + AGAIN
                _signal(pid, left, signal.SIGKILL)

    def _bury(self, pid: int) -> None:
        del self._ended[pid]
        _signal_group(pid, signal.SIGKILL)  # where nothing is known of single processes
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)

    def _of(self, pid: int) -> list[int]:
        return [one for one in _stemming_from(pid) if one not in self._ended]


def kill_orphans(parent: int, workers: Collection[int]) -> None:
    """Kill workers and what they have started, for when their ``parent``, a child of ours, has ended.

    What it had becomes ours; each round may uncover more.
    """
    with suppress(ChildProcessError):
        os.waitpid(parent, 0)  # its descriptors are closed a moment before its children become ours
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        left = [pid for worker in workers for pid in _stemming_from(worker)]
        for worker in workers:
            _signal(worker, left, signal.SIGKILL)
        for pid in children(os.getpid()):
            if pid in left:
                os.waitpid(pid, os.WNOHANG)
        if not left:
            return
        time.sleep(ROUND)


def _stemming_from(worker: int) -> list[int]:
    """Our children that stem from a worker, and all that is below them."""
    found: list[int] = []
    for child in children(os.getpid()):
        if mark_of(child) == worker:
            found += (child, *descendants(child))
    return found


def _signal(group: int, pids: list[int], number: signal.Signals) -> None:
    _signal_group(group, number)
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):  # it has ended; it has become another user's
            os.kill(pid, number)


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
