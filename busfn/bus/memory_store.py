"""Blobs and tables in memory."""

from __future__ import annotations

import hashlib
import math
import time

from busfn.bus.frames import check_pattern
from busfn.errors import DeserializationError

CHUNK = 512 << 10


class Shelf:
    """Values that expire."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], tuple[bytes, float]] = {}

    def put(self, kind: str, name: str, value: bytes, ttl: float) -> None:
        """Keep a value for ``ttl`` seconds, 0 for ever."""
        self._values[kind, name] = (value, time.monotonic() + ttl if ttl > 0 else math.inf)

    def get(self, kind: str, name: str) -> bytes | None:
        """The value, or None when there is none any more."""
        value, expires = self._values.get((kind, name), (b"", 0.0))
        return value if time.monotonic() < expires else None

    def delete(self, kind: str, name: str) -> None:
        """Forget a value."""
        self._values.pop((kind, name), None)

    def names(self, kind: str) -> list[str]:
        """The names of a kind that have a value, sorted."""
        return sorted(name for each, name in self._values if each == kind and self.get(kind, name) is not None)


class MemoryBlobs:
    """Large payloads in memory; see `busfn.bus.base.Blobs`."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def put(self, name: str, data: bytes, *, ttl: float) -> int:
        self._shelf.put("blob", name, data, ttl)
        return max(1, math.ceil(len(data) / CHUNK))

    async def get(self, name: str, chunks: int, sha256: str) -> bytes:
        data = self._shelf.get("blob", name)
        if data is None or chunks != max(1, math.ceil(len(data) / CHUNK)):
            raise DeserializationError(f"blob {name} is not complete: a chunk is gone or expired")
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DeserializationError(f"blob {name} is damaged: its hash differs")
        return data

    async def delete(self, name: str) -> None:
        self._shelf.delete("blob", name)


class MemoryTable:
    """A key-value bucket in memory; see `busfn.bus.base.Table`."""

    def __init__(self, shelf: Shelf, name: str) -> None:
        check_pattern(name)
        self._shelf = shelf
        self._kind = f"table {name}"

    async def get(self, key: str) -> bytes | None:
        return self._shelf.get(self._kind, key)

    async def put(self, key: str, value: bytes, *, ttl: float = 0.0) -> None:
        self._shelf.put(self._kind, key, value, ttl)

    async def create(self, key: str, value: bytes, *, ttl: float = 0.0) -> bool:
        if self._shelf.get(self._kind, key) is not None:
            return False
        self._shelf.put(self._kind, key, value, ttl)
        return True

    async def delete(self, key: str) -> None:
        self._shelf.delete(self._kind, key)

    async def keys(self) -> list[str]:
        return self._shelf.names(self._kind)
