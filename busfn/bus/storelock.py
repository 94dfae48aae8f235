"""One nats-server a store: two of them on the same files lose messages that one of them had accepted.

The lock is on a descriptor that the server inherits and keeps open. It lasts as long as the server does, whatever
becomes of those who started it; that they have it, too, tells a server with an owner from one without.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from busfn.errors import ConnectionError

NAME = "busfn.lock"
PATIENCE = 20.0
"""Seconds that a server has to end which is being stopped."""
AGAIN = 0.02
ASKED = 10.0
"""Seconds that one without an owner has to end in order, before it is killed."""


class StoreLock:
    """The lock of a store directory; `release` gives up this process's share of it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def take(cls, directory: Path, server: str) -> StoreLock:
        """Wait for the lock; ends a ``server`` (the path of its program) that has it and has lost its owner.

        Raises `ConnectionError` when another process keeps a server there, or the directory cannot be used.
        """
        path = directory / NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConnectionError(f"nats-server cannot keep its data in {directory}: {error.strerror}") from error
        try:
            _acquire(fd, path, server)
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    def release(self) -> None:
        """Idempotent; the server that inherited the lock keeps it."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def _acquire(fd: int, path: Path, server: str) -> None:
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - began
        else:
            return
        holders = _holders(path)
        if holders and all(_runs(pid, server) for pid in holders):
            for pid in holders:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM if waited < ASKED else signal.SIGKILL)
        elif waited > PATIENCE or os.getpid() in holders:
            who = ", ".join(map(str, holders)) or "unknown"
            raise ConnectionError(f"another nats-server has its data in {path.parent} (process {who}): stop it first")
        time.sleep(AGAIN)


def _holders(path: Path) -> list[int]:
    """Processes of this user that have the file open, our own attempt not counted; none where /proc is missing."""
    found: list[int] = []
    with suppress(OSError):
        wanted = os.stat(path)
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _has_open(entry / "fd", wanted) > (int(entry.name) == os.getpid()):
                found.append(int(entry.name))
    return found


def _has_open(folder: Path, wanted: os.stat_result) -> int:
    count = 0
    with suppress(OSError):  # it has ended, or is another user's
        for link in folder.iterdir():
            with suppress(OSError):
                count += os.path.samestat(link.stat(), wanted)
    return count


def _runs(pid: int, program: str) -> bool:
    try:
        return os.path.samefile(f"/proc/{pid}/exe", program)
    except OSError:
        return False
