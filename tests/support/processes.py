"""Processes that are not children of the test."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable


def wait_gone(pid: int, timeout: float = 10.0) -> None:
    """Wait until a process has ended, whoever its parent is."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], timeout)[0], f"process {pid} is still there"
    finally:
        os.close(handle)


def wait_all_gone(pids: Iterable[int], timeout: float = 10.0) -> None:
    for pid in pids:
        wait_gone(pid, timeout)
