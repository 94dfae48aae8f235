"""What Linux lets a process say, and ask, about parents and children. Elsewhere nothing is known or happens."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

_SET_PARENT_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
_LIMIT: int | None = getattr(resource, "RLIMIT_RTTIME", None)
_TOP = 1 << 62
"""Stands for no limit."""


def adopt_orphans() -> None:
    """Make this process the parent of whatever its descendants leave behind, programs in sessions of their own
    included."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its ``parent`` ends, or end now if it has ended already."""
    _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def mark_descendants(number: int) -> None:
    """Give this process, and all that stems from it from now on, a number that `mark_of` reads.

    It is kept as the limit for CPU time of real-time scheduling, some 10^5 years less the number: all children and
    programs inherit it, also in sessions of their own and with an empty environment, and nothing else depends on it.
    """
    if _LIMIT is not None:
        _, hard = resource.getrlimit(_LIMIT)
        top = _TOP if hard == resource.RLIM_INFINITY else hard
        resource.setrlimit(_LIMIT, (max(0, top - number), hard))


def mark_of(pid: int) -> int:
    """The number of a process; 0 when it has none, or has ended."""
    if _LIMIT is None:
        return 0
    try:
        soft, hard = resource.prlimit(pid, _LIMIT)
    except (ProcessLookupError, PermissionError):
        return 0
    return 0 if soft == resource.RLIM_INFINITY else (_TOP if hard == resource.RLIM_INFINITY else hard) - soft


def children(pid: int) -> list[int]:
    """The processes whose parent is ``pid``, those that have ended and were not waited for included."""
    found: list[int] = []
    try:
        for thread in (_PROC / str(pid) / "task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    except OSError:  # it has ended, or this is no Linux
        pass
    return found


def descendants(pid: int) -> list[int]:
    """Children of ``pid``, and theirs, parents first."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children(waiting.pop())
        found += below
        waiting += below
    return found


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)
