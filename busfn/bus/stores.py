"""What the rest of busfn needs from the stores of a bus: large payloads, the history of a stream, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Blobs(Protocol):
    """Payloads too large for a message, kept in chunks."""

    async def put(self, name: str, data: bytes, *, ttl: float) -> int:
        """Store ``data`` under ``name`` for ``ttl`` seconds, 0 for ever; returns the number of chunks."""
        ...

    async def get(self, name: str, chunks: int, sha256: str) -> bytes:
        """Read it back. Raises `DeserializationError` when a chunk is missing or the hash differs; never hangs."""
        ...

    async def share(self, name: str, data: bytes, *, reference: str, ttl: float, keep: float) -> int | None:
        """Hold content that others may hold, too, for ``ttl`` seconds; ``name`` stands for the content.

        What is not stored yet is stored for ``keep`` seconds. Returns the number of chunks, or None when the content is
        being removed at this moment: store it under another name. A reference is ``OWNER`` or ``OWNER.PART``."""
        ...

    async def refer(self, name: str, reference: str, *, ttl: float) -> None:
        """Hold shared content once more, for ``ttl`` seconds; only for those who hold it already."""

    async def release(self, name: str, reference: str) -> None:
        """Hold it no longer; content that nobody holds any more is removed."""

    async def release_all(self, owner: str) -> None:
        """`release` whatever is held by references ``owner.PART``."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as a stream keeps it."""

    subject: str
    headers: Mapping[str, str]
    body: bytes
    sequence: int
    time: float
    """When it was stored, in unix seconds by the server's clock."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Sequences of the first and the last message of a stream; an empty one has its first behind its last."""

    first: int
    last: int


class History(Protocol):
    """Reading what streams keep, without taking it. All raise `NotFoundError` when there is no such stream."""

    async def bounds(self, stream: str) -> Bounds:
        """What the leader of the stream knows."""
        ...

    async def read(self, stream: str, subject: str, *, sequence: int, count: int) -> Sequence[Stored]:
        """Up to ``count`` messages under a subject (wildcards allowed), in order, from a sequence on; fewer when they
        are large. None only when there is nothing more, as far as whoever answers knows."""
        ...

    async def first_since(self, stream: str, subject: str, moment: float) -> int | None:
        """Sequence of the first message under a subject that was stored at ``moment`` (unix seconds) or later."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A value in a table."""

    value: bytes
    revision: int
    """Grows with every write to the table; names this one."""


class Table(Protocol):
    """A small key-value store, shared by everyone on the bus. Keys are subject tokens joined by dots."""

    async def get(self, key: str) -> bytes | None: ...
    async def entry(self, key: str) -> Entry | None:
        """The value with its revision, or None when there is none."""
        ...

    async def entries(self, pattern: str) -> dict[str, Entry]:
        """All keys under a pattern (``app.*``), with their values."""
        ...

    async def put(self, key: str, value: bytes, *, ttl: float = 0.0) -> None: ...
    async def create(self, key: str, value: bytes, *, ttl: float = 0.0) -> bool:
        """Write only if the key does not exist; tells whether it did. ``ttl`` in whole seconds, 0 = for ever."""
        ...

    async def update(self, key: str, value: bytes, revision: int, *, ttl: float = 0.0) -> int | None:
        """Write only if the last write to the key was ``revision``; the new revision, or None if it was another."""
        ...

    async def delete(self, key: str) -> None: ...
    async def keys(self) -> list[str]: ...
