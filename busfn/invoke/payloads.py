"""Payloads too large for a message travel as blobs, with a reference in the message.

One message in the job queue is one reference: whoever makes a further message for the same arguments (the rest of a
chunk, a retry, a dead letter) takes a reference for it first (`hold`), and whoever settles a message for good gives up
its reference (`let_go`) before the ack. So what is not referred to any more was settled. The messages of a map share
the reference of their caller, which waits for all of them.

References are named after their call and the kind of their message, so they can be given up together: when the call
is cancelled, or when nothing of it is queued any more (`sweep`), for those that a process left which died before it had
made the message. What a caller leaves that dies while it hands over goes by itself, see `content_name`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from dataclasses import replace
from typing import cast

from busfn.bus.base import Bus
from busfn.errors import Error
from busfn.ids import new_call_id
from busfn.invoke.delays import is_queued, withdraw_messages
from busfn.protocol.codecs import MSGPACK, PICKLES, BlobRef, Payload
from busfn.protocol.envelope import Call
from busfn.protocol.subjects import Subjects
from busfn.spec import MAX_DELAY
from busfn.streams import RETENTION

logger = logging.getLogger("busfn.payloads")

SPILL = 512 * 1024
"""Bytes of body above which a payload becomes a blob."""
QUEUED_TTL = 2 * MAX_DELAY + RETENTION
"""Seconds after which large arguments of queued calls and of dead letters go, should nobody have given them up: they
live as long as their call, which may be put off for a year, and then wait."""
BLOB_TTL = 24 * 3600.0
"""Seconds after which a blob that nobody removed goes by itself."""

AGAIN = "again"
"""Kind of a message that was made from a queued one."""
DEAD = "dead"
"""Kind of a dead letter; cancelling leaves it."""

SKEW = 3600.0
"""Seconds by which clocks on a bus may differ."""


def spills(bus: Bus, payload: Payload, limit: int = SPILL) -> bool:
    """Whether the payload is too large for a message: for us, or for the server."""
    return payload.size > min(limit, bus.max_body)


async def stow(bus: Bus, payload: Payload, limit: int = SPILL, ttl: float = BLOB_TTL, reference: str = "") -> Payload:
    """Move a large body, or the end that is apart, into a blob, for ``ttl`` seconds; a small one stays as it is."""
    if payload.blob is not None or not spills(bus, payload, limit):
        return payload
    body, kept = (payload.body, payload.end) if payload.end else (b"", payload.body)
    return replace(payload, body=body, end=b"", blob=await keep(bus, kept, ttl, reference))


async def keep(bus: Bus, data: bytes, ttl: float, reference: str = "") -> BlobRef:
    """Have the bus hold some bytes for ``ttl`` seconds; the same bytes are stored once."""
    digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
    name, reference, chunks = content_name(digest, ttl, time.time()), reference or new_call_id(), None
    while (chunks := await bus.blobs.share(name, data, reference=reference, ttl=ttl, keep=2 * ttl + SKEW)) is None:
        name = new_call_id()  # what was there is being removed
    return BlobRef(name=name, size=len(data), chunks=chunks, sha256=digest, reference=reference)


def content_name(sha256: str, ttl: float, now: float) -> str:
    """The name that a content has for those who want it for ``ttl`` seconds and come in the same period of this length.

    Stored content cannot be made to live longer, so it is stored for two periods, and not shared beyond the first.
    """
    return f"{sha256}-{int(ttl)}-{int(now // ttl)}"


def cut_end(payload: Payload, end: bytes, blob: BlobRef) -> Payload | None:
    """The payload with its end replaced by the blob that holds it; None when that is not its end, or not enough."""
    rest = len(payload.body) - len(end)
    if payload.content_type not in (MSGPACK, PICKLES) or rest > SPILL or not payload.body.endswith(end):
        return None
    return replace(payload, body=payload.body[:rest], blob=blob)


async def fetch(bus: Bus, payload: Payload) -> Payload:
    """Bring a blob's body back into the payload."""
    ref = payload.blob
    if ref is None:
        return payload
    kept = await bus.blobs.get(ref.name, ref.chunks, ref.sha256)
    body, end = (payload.body, kept) if payload.body else (kept, b"")
    return replace(payload, body=body, end=end, blob=None)


async def discard(bus: Bus, payload: Payload) -> None:
    """Give up the payload's reference to a blob, if it has one."""
    if payload.blob is not None and payload.blob.reference:
        await bus.blobs.release(payload.blob.name, payload.blob.reference)


async def hold(bus: Bus, call: Call, part: str = "", kind: str = "") -> Call:
    """The call as it goes into a further message, which has a reference of its own to large arguments.

    ``part`` names the message within its call, if it may be made twice and stored once; ``kind`` is `AGAIN`, `DEAD`, or
    none for what is queued from outside.
    """
    blob = call.payload.blob
    if blob is None or not blob.reference or call.reply:
        return call
    held = replace(blob, reference=f"{call.call}{kind}.{part or new_call_id()}")
    await bus.blobs.refer(held.name, held.reference, ttl=QUEUED_TTL)
    return call.copy(payload=replace(call.payload, blob=held))


async def let_go(bus: Bus, call: Call) -> None:
    """Give up the reference of a message that is settled for good. If that fails, it goes by itself in time."""
    if call.reply:
        return
    try:
        await discard(bus, call.payload)
    except Error as error:
        logger.warning("call %s: its arguments stay on the bus until they expire: %s", call.call, error)


async def withdraw(bus: Bus, subjects: Subjects, app: str, function: str, call: str) -> None:
    """Take what waits of a call out of the queue, with the arguments of all its messages."""
    await unqueue(bus, subjects, app, function, call)
    await release_queued(bus, call)


async def unqueue(bus: Bus, subjects: Subjects, app: str, function: str, call: str) -> None:
    """Take what waits of a cancelled call out of the queue, and have everybody look again who waits for its results:
    whoever looked after it was cancelled, and before this, has seen it queued."""
    await withdraw_messages(bus, subjects, app, function, call)
    bus.publish(subjects.withdrawn(app, function, call))


async def release_queued(bus: Bus, call: str) -> None:
    """Give up the arguments of all messages of a call, but for its dead letters."""
    await bus.blobs.release_all(call)
    await bus.blobs.release_all(call + AGAIN)


async def sweep(bus: Bus, subjects: Subjects, app: str, function: str, call: str) -> None:
    """When nothing of a call is queued any more, give up what was held for messages that were never made.

    A message is made from one that is queued, so no new one can come up meanwhile.
    """
    if await is_queued(bus, subjects, app, function, call):
        return
    await bus.blobs.release_all(call + AGAIN)
    if not await bus.queues.subjects(subjects.stream("DEAD"), subjects.dead(app, function, call, "*")):
        await bus.blobs.release_all(call + DEAD)


def elements(value: object, count: int) -> list[object] | None:
    """A decoded value as the list of ``count`` elements that it was announced as; None when it is something else."""
    if not isinstance(value, list):
        return None
    found = cast("list[object]", value)
    return found if len(found) == count else None
