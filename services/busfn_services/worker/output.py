"""A worker's stdout and stderr, which say in the pipe which input printed what."""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from busfn.context import CurrentInput, current_input
from busfn_services.marks import NOBODY, Owner, mark

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ATOMIC = select.PIPE_BUF
"""Bytes that a pipe takes in one piece, whoever else writes."""
MOST_PENDING = 8192
"""Bytes of an unfinished line that are held before they are written."""

Running = Callable[[], CurrentInput | None]


class Output:
    """Both streams of a worker; ``follow`` says where to look for the input that runs."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._running: Running = current_input

    def install(self) -> None:
        """Take the place of `sys.stdout` and `sys.stderr`; before user code can keep the old ones."""
        sys.stdout = sys.__stdout__ = self._stream(1, "<stdout>", "strict")  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = self._stream(2, "<stderr>", "backslashreplace")  # type: ignore[misc]

    def follow(self, running: Running) -> None:
        """Where threads that were not started with an input's context belong."""
        self._running = running

    def current(self) -> CurrentInput | None:
        """The input that the calling code belongs to, or None."""
        return current_input() or self._running()

    def _stream(self, fd: int, name: str, errors: str) -> io.TextIOWrapper:
        writer = MarkedWriter(fd, name, self._token, self.current)
        return io.TextIOWrapper(writer, encoding="utf-8", errors=errors, newline="\n", write_through=True)


class MarkedWriter(io.BufferedIOBase):
    """Writes lines to a pipe, and a mark before those of another input than the last. Nothing is written for an input
    that prints nothing."""

    def __init__(self, fd: int, name: str, token: str, current: Running) -> None:
        self.name = name
        self.mode = "wb"
        self._fd = fd
        self._token = token
        self._current = current
        self._pending = b""
        self._owner: CurrentInput | None = None
        self._marked: CurrentInput | None = None
        self._renew_lock()
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        """Reentrant, because a signal handler may print, too; new in a child, where its holder does not exist."""
        self._lock = threading.RLock()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return False

    def write(self, data: ReadableBuffer, /) -> int:
        """Add to the line; whole lines leave at once."""
        text = bytes(data)
        current = self._current()
        with self._lock:
            if current is not self._owner:
                self._send()
                self._owner = current
            self._pending += text
            if b"\n" in text or len(self._pending) > MOST_PENDING:
                self._send()
        return len(text)

    def flush(self) -> None:
        """Write an unfinished line."""
        with self._lock:
            self._send()

    def _send(self) -> None:
        text, self._pending = self._pending, b""
        if not text:
            return
        prefix = b"" if self._owner is self._marked else mark(self._token, _owner(self._owner))
        if len(prefix) + len(text) <= ATOMIC:
            self._write(prefix + text)
        else:
            self._write(prefix)
            self._write(text)
        self._marked = self._owner

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:  # a child has made the pipe non-blocking for all of us
                select.select([], [self._fd], [])


def _owner(current: CurrentInput | None) -> Owner:
    return Owner(current.call, current.index) if current is not None else NOBODY
