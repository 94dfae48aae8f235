"""Chunks of a large payload, put together as they come. Pure."""

from __future__ import annotations

import hashlib
import io

_RESERVED = 16
"""Chunks for which there is room at a time. Room that grows with each chunk is copied time and again."""


class Assembly:
    """Chunks in their order, whatever order they come in, hashed meanwhile: the server sends the next ones."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._room = 0
        self._whole = io.BytesIO()  # which gives away what it holds without a copy
        self._hash = hashlib.sha256()
        self._early: dict[int, bytes] = {}
        self._next = 0

    def add(self, number: int, chunk: bytes) -> None:
        """A chunk has come; it may have come before."""
        if not self.has(number):
            self._early[number] = chunk
        while (ready := self._early.pop(self._next, None)) is not None:
            self._hash.update(ready)
            self._reserve(len(ready))
            self._whole.write(ready)
            self._next += 1

    def has(self, number: int) -> bool:
        """Whether the chunk has come."""
        return number < self._next or number in self._early

    @property
    def sha256(self) -> str:
        """Of all that is in place."""
        return self._hash.hexdigest()

    @property
    def data(self) -> bytes:
        """All that is in place."""
        self._whole.truncate()
        self._room = self._whole.tell()
        return self._whole.getvalue()

    def _reserve(self, size: int) -> None:
        end = self._whole.tell()
        if end + size > self._room:
            self._room = end + size * max(1, min(_RESERVED, self._count - self._next))
            self._whole.seek(self._room - 1)
            self._whole.write(b"\0")
            self._whole.seek(end)
