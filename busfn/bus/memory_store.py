"""Blobs and tables in memory."""

from __future__ import annotations

import hashlib
import math
import time

from busfn.bus.frames import check_pattern
from busfn.bus.patterns import matches
from busfn.bus.stores import Entry
from busfn.errors import DeserializationError

CHUNK = 512 << 10


class Shelf:
    """Values that expire."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], tuple[Entry, float]] = {}
        self._revision = 0

    def put(self, kind: str, name: str, value: bytes, ttl: float) -> int:
        """Keep a value for ``ttl`` seconds, 0 for ever; returns its revision."""
        self._revision += 1
        expires = time.monotonic() + ttl if ttl > 0 else math.inf
        self._values[kind, name] = (Entry(value, self._revision), expires)
        return self._revision

    def get(self, kind: str, name: str) -> bytes | None:
        """The value, or None when there is none any more."""
        entry = self.entry(kind, name)
        return None if entry is None else entry.value

    def entry(self, kind: str, name: str) -> Entry | None:
        """The value with its revision, or None when there is none any more."""
        found = self._values.get((kind, name))
        return found[0] if found is not None and time.monotonic() < found[1] else None

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

    async def share(self, name: str, data: bytes, *, reference: str, ttl: float, keep: float) -> int | None:
        await self.refer(name, reference, ttl=ttl)
        if self._shelf.get("blob", name) is None:
            self._shelf.put("blob", name, data, keep)
        return max(1, math.ceil(len(data) / CHUNK))

    async def refer(self, name: str, reference: str, *, ttl: float) -> None:
        self._shelf.put(f"references {name}", reference, b"", ttl)

    async def release(self, name: str, reference: str) -> None:
        self._shelf.delete(f"references {name}", reference)
        if not self._shelf.names(f"references {name}"):
            self._shelf.delete("blob", name)

    async def release_all(self, owner: str) -> None:
        for name in self._shelf.names("blob"):
            for reference in self._shelf.names(f"references {name}"):
                if reference.startswith(f"{owner}."):
                    await self.release(name, reference)


class MemoryTable:
    """A key-value bucket in memory; see `busfn.bus.base.Table`."""

    def __init__(self, shelf: Shelf, name: str) -> None:
        check_pattern(name)
        self._shelf = shelf
        self._kind = f"table {name}"

    async def get(self, key: str) -> bytes | None:
        return self._shelf.get(self._kind, key)

    async def entry(self, key: str) -> Entry | None:
        return self._shelf.entry(self._kind, key)

    async def entries(self, pattern: str) -> dict[str, Entry]:
        found = {name: self._shelf.entry(self._kind, name) for name in self._shelf.names(self._kind)}
        return {name: entry for name, entry in found.items() if entry is not None and matches(pattern, name)}

    async def put(self, key: str, value: bytes, *, ttl: float = 0.0) -> None:
        self._shelf.put(self._kind, key, value, ttl)

    async def update(self, key: str, value: bytes, revision: int, *, ttl: float = 0.0) -> int | None:
        entry = self._shelf.entry(self._kind, key)
        if entry is None or entry.revision != revision:
            return None
        return self._shelf.put(self._kind, key, value, ttl)

    async def create(self, key: str, value: bytes, *, ttl: float = 0.0) -> bool:
        if self._shelf.get(self._kind, key) is not None:
            return False
        self._shelf.put(self._kind, key, value, ttl)
        return True

    async def delete(self, key: str) -> None:
        self._shelf.delete(self._kind, key)

    async def keys(self) -> list[str]:
        return self._shelf.names(self._kind)
