"""Chunks of a large payload, put together as they come. Pure."""

from __future__ import annotations

import hashlib
import io


class Assembly:
    """Chunks in their order, whatever order they come in, hashed meanwhile: the server sends the next ones."""

    def __init__(self) -> None:
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
        return self._whole.getvalue()
