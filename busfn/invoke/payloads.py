"""Payloads too large for a message travel as blobs, with a reference in the message."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import cast

from busfn.bus.base import Bus
from busfn.ids import new_call_id
from busfn.protocol.codecs import BlobRef, Payload

SPILL = 512 * 1024
"""Bytes of body above which a payload becomes a blob."""
BLOB_TTL = 24 * 3600.0
"""Seconds after which a blob that nobody removed goes by itself."""


def spills(payload: Payload, limit: int = SPILL) -> bool:
    """Whether the payload is too large for a message."""
    return len(payload.body) > limit


async def stow(bus: Bus, payload: Payload, limit: int = SPILL, ttl: float = BLOB_TTL) -> Payload:
    """Move a large body into a blob, for ``ttl`` seconds; a small one stays as it is."""
    if not spills(payload, limit):
        return payload
    name = new_call_id()
    digest = await asyncio.to_thread(lambda: hashlib.sha256(payload.body).hexdigest())
    chunks = await bus.blobs.put(name, payload.body, ttl=ttl)
    ref = BlobRef(name=name, size=len(payload.body), chunks=chunks, sha256=digest)
    return replace(payload, body=b"", blob=ref)


async def fetch(bus: Bus, payload: Payload) -> Payload:
    """Bring a blob's body back into the payload."""
    ref = payload.blob
    if ref is None:
        return payload
    body = await bus.blobs.get(ref.name, ref.chunks, ref.sha256)
    return replace(payload, body=body, blob=None)


async def discard(bus: Bus, payload: Payload) -> None:
    """Remove the payload's blob, if it has one."""
    if payload.blob is not None:
        await bus.blobs.delete(payload.blob.name)


def elements(value: object, count: int) -> list[object] | None:
    """A decoded value as the list of ``count`` elements that it was announced as; None when it is something else."""
    if not isinstance(value, list):
        return None
    found = cast("list[object]", value)
    return found if len(found) == count else None
