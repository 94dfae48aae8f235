"""Atomic batches (ADR-50): several messages of one stream, stored all or not at all.

The first and the last message are requests; those between are just published, in order, on one connection. Each message
has an id, so a batch that is sent again because its answer was lost is refused as a duplicate: it is stored.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from busfn.bus.api import ApiError, read_answer
from busfn.bus.base import Outgoing

if TYPE_CHECKING:
    from busfn.bus.core import NatsBus

MOST_MESSAGES = 1000
"""Of a batch; the server's limit."""
ALREADY_STORED = 10201
_BREATH = 32
"""Messages after which a slow socket is waited for."""


async def store_batch(bus: NatsBus, messages: Sequence[Outgoing], timeout: float) -> None:
    """One attempt to store a batch. Raises `ApiError` when the stream refuses it, `ConnectionError`."""
    batch, last = uuid.uuid4().hex, len(messages)
    for number, message in enumerate(messages, 1):
        headers = _headers(message, batch, number, commit=number == last)
        if number not in (1, last):
            bus.publish(message.subject, message.body, headers)
        elif await _asked(bus, message, headers, timeout):
            return
        if number % _BREATH == 0:
            await bus.writable()


async def _asked(bus: NatsBus, message: Outgoing, headers: dict[str, str], timeout: float) -> bool:
    """Send the first or last message; tells whether the whole batch is stored already."""
    answer = await bus.ask(message.subject, message.body, headers, timeout=timeout, fragile=True)
    try:
        if answer.body:  # none: the batch is open
            read_answer(answer)
    except ApiError as error:
        if error.code != ALREADY_STORED:
            raise
        return True
    return False


def _headers(message: Outgoing, batch: str, number: int, *, commit: bool) -> dict[str, str]:
    headers = {
        **message.headers,
        "Nats-Msg-Id": message.msg_id,
        "Nats-Batch-Id": batch,
        "Nats-Batch-Sequence": str(number),
    }
    return {**headers, "Nats-Batch-Commit": "1"} if commit else headers
