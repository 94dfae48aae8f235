"""Payloads too large for a message travel as blobs, with a reference in the message."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import replace
from typing import cast

from busfn.bus.base import Bus
from busfn.ids import new_call_id
from busfn.protocol.codecs import MSGPACK, BlobRef, Payload

SPILL = 512 * 1024
"""Bytes of body above which a payload becomes a blob."""
BLOB_TTL = 24 * 3600.0
"""Seconds after which a blob that nobody removed goes by itself."""

SKEW = 3600.0
"""Seconds by which clocks on a bus may differ."""


def spills(payload: Payload, limit: int = SPILL) -> bool:
    """Whether the payload is too large for a message."""
    return len(payload.body) > limit


async def stow(bus: Bus, payload: Payload, limit: int = SPILL, ttl: float = BLOB_TTL) -> Payload:
    """Move a large body into a blob, for ``ttl`` seconds; a small one stays as it is."""
    if payload.blob is not None or not spills(payload, limit):
        return payload
    return replace(payload, body=b"", blob=await keep(bus, payload.body, ttl))


async def keep(bus: Bus, data: bytes, ttl: float) -> BlobRef:
    """Have the bus hold some bytes for ``ttl`` seconds; the same bytes are stored once."""
    digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
    name, reference = content_name(digest, ttl, time.time()), new_call_id()
    chunks = await bus.blobs.share(name, data, reference=reference, ttl=ttl, keep=2 * ttl + SKEW)
    if chunks is None:
        name, reference = new_call_id(), ""
        chunks = await bus.blobs.put(name, data, ttl=ttl)
    return BlobRef(name=name, size=len(data), chunks=chunks, sha256=digest, reference=reference)


def content_name(sha256: str, ttl: float, now: float) -> str:
    """The name that a content has for those who want it for ``ttl`` seconds and come in the same period of this length.

    Stored content cannot be made to live longer, so it is stored for two periods, and not shared beyond the first.
    """
    return f"{sha256}-{int(ttl)}-{int(now // ttl)}"


def cut_end(payload: Payload, end: bytes, blob: BlobRef) -> Payload | None:
    """The payload with its end replaced by the blob that holds it; None when that is not its end, or not enough."""
    rest = len(payload.body) - len(end)
    if payload.content_type != MSGPACK or rest > SPILL or not payload.body.endswith(end):
        return None
    return replace(payload, body=payload.body[:rest], blob=blob)


async def fetch(bus: Bus, payload: Payload) -> Payload:
    """Bring a blob's body back into the payload."""
    ref = payload.blob
    if ref is None:
        return payload
    body = await bus.blobs.get(ref.name, ref.chunks, ref.sha256)
    return replace(payload, body=payload.body + body if payload.body else body, blob=None)


async def discard(bus: Bus, payload: Payload) -> None:
    """Give up the payload's blob, if it has one."""
    blob = payload.blob
    if blob is not None and blob.reference:
        await bus.blobs.release(blob.name, blob.reference)
    elif blob is not None:
        await bus.blobs.delete(blob.name)


def elements(value: object, count: int) -> list[object] | None:
    """A decoded value as the list of ``count`` elements that it was announced as; None when it is something else."""
    if not isinstance(value, list):
        return None
    found = cast("list[object]", value)
    return found if len(found) == count else None
