"""Reading what is stored of durable calls: whoever may publish there may have stored anything."""

from __future__ import annotations

from busfn.bus.base import Message
from busfn.errors import ProtocolError
from busfn.invoke.link import Link
from busfn.protocol.border import MAX_INDEX, CallId, parse_number
from busfn.protocol.envelope import Answer, read_answer
from busfn.protocol.names import Target
from busfn.streams import RETENTION


def read_result(stored: Message, call: CallId, index: int) -> Answer:
    """The result of an input. Raises `ProtocolError`, also when it says that it is another one's."""
    answer = read_answer(stored.headers, stored.body)
    if (answer.call, answer.index) != (call, index):
        raise ProtocolError(f"what is stored as the result of call {call}, input {index}, belongs to another one")
    return answer


async def keep_size(link: Link, target: Target, call: CallId, inputs: int, ahead: float) -> None:
    """Store how many inputs a call has that starts in ``ahead`` seconds: its results may come when this has expired."""
    subject, text = link.subjects.size(target.app, target.function, call), str(inputs).encode()
    await link.bus.queues.enqueue(subject, text, msg_id=f"{call}.size")
    if ahead > 0:
        await link.bus.table(link.subjects.table).put(_size_key(call), text, ttl=ahead + 2 * RETENTION)


async def size_of(link: Link, target: Target, call: CallId) -> int:
    """How many inputs a call has."""
    subject = link.subjects.size(target.app, target.function, call)
    stored = await link.bus.queues.latest(link.subjects.stream("RES"), subject)
    found = stored.body if stored is not None else await link.bus.table(link.subjects.table).get(_size_key(call))
    return 1 if found is None else read_size(found)


def _size_key(call: CallId) -> str:
    return f"size.{call}"


def read_size(body: bytes) -> int:
    """The number of inputs as it is stored. Raises `ProtocolError`."""
    return parse_number("the number of a call's inputs", body[:32].decode("ascii", "replace"), MAX_INDEX)
