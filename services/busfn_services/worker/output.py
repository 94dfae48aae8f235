"""A worker's stdout and stderr, which say in the pipe which input printed what."""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from busfn.context import CurrentInput, current_input
from busfn_services.marks import NOBODY, Owner, mark

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ATOMIC = select.PIPE_BUF
"""Bytes that a pipe takes in one piece, whoever else writes."""
MOST_PENDING = 8192
"""Bytes of an unfinished line that are held before they are written."""


class Source(Protocol):
    """Knows the input that runs, whichever thread asks."""

    @property
    def current(self) -> CurrentInput | None: ...


@dataclass(frozen=True, slots=True)
class Nothing:
    """The source before there is one."""

    current: None = None


class Output:
    """Both streams of a worker."""

    def __init__(self, token: str) -> None:
        self._writers = MarkedWriter(1, "<stdout>", token), MarkedWriter(2, "<stderr>", token)

    def install(self) -> None:
        """Take the place of `sys.stdout` and `sys.stderr`; before user code can keep the old ones."""
        out, err = self._writers
        sys.stdout = sys.__stdout__ = MarkedStream(out, encoding="utf-8", newline="\n")  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = MarkedStream(  # type: ignore[misc]
            err, encoding="utf-8", errors="backslashreplace", newline="\n"
        )

    def report(self, owner: Owner, text: bytes) -> None:
        """Write whole lines to stderr in the name of an input that runs no more."""
        self._writers[1].report(owner, text)

    def follow(self, source: Source) -> None:
        """Say whom output belongs to that comes from threads without an input's context."""
        for writer in self._writers:
            writer.source = source


class MarkedWriter(io.BufferedIOBase):
    """Writes lines to a pipe, and a mark before those of another input than the last. Nothing is written for an input
    that prints nothing."""

    def __init__(self, fd: int, name: str, token: str) -> None:
        self.name = name
        self.mode = "wb"
        self.source: Source = Nothing()
        self._fd = fd
        self._token = token
        self._pending: list[bytes] = []
        self._size = 0
        self._owner: CurrentInput | None = None
        self._marked: CurrentInput | Owner | None = None
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
        given = bytes(data)
        self.add(given)
        return len(given)

    def add(self, data: bytes) -> None:
        """`write`, without a copy."""
        current = current_input() or self.source.current
        with self._lock:
            if current is not self._owner:
                self._send()
                self._owner = current
            self._pending.append(data)
            self._size += len(data)
            if b"\n" in data or self._size > MOST_PENDING:
                self._send()

    def report(self, owner: Owner, text: bytes) -> None:
        """Write lines in another's name; what is printed next is marked again."""
        with self._lock:
            self._send()
            self._write(mark(self._token, owner) + text)
            self._marked = owner

    def flush(self) -> None:
        """Write an unfinished line."""
        with self._lock:
            self._send()

    def _send(self) -> None:
        text, self._pending, self._size = b"".join(self._pending), [], 0
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


class MarkedStream(io.TextIOWrapper):
    """The text side of a `MarkedWriter`. Text goes on at once: what waited here would be sent under the wrong input."""

    def __init__(self, writer: MarkedWriter, *, encoding: str, errors: str = "strict", newline: str) -> None:
        super().__init__(writer, encoding=encoding, errors=errors, newline=newline)
        self._add = writer.add

    def write(self, text: str, /) -> int:
        self._add(str.encode(text, self.encoding, self.errors or "strict"))
        return len(text)


def _owner(current: CurrentInput | None) -> Owner:
    return Owner(current.call, current.index) if current is not None else NOBODY
