"""Reading what is stored of durable calls: whoever may publish there may have stored anything."""

from __future__ import annotations

from busfn.bus.base import Message
from busfn.errors import ProtocolError
from busfn.protocol.border import MAX_INDEX, CallId, parse_number
from busfn.protocol.envelope import Answer, read_answer


def read_result(stored: Message, call: CallId, index: int) -> Answer:
    """The result of an input. Raises `ProtocolError`, also when it says that it is another one's."""
    answer = read_answer(stored.headers, stored.body)
    if (answer.call, answer.index) != (call, index):
        raise ProtocolError(f"what is stored as the result of call {call}, input {index}, belongs to another one")
    return answer


def read_size(body: bytes) -> int:
    """How many inputs a call has, as `Durable.note_size` stores it. Raises `ProtocolError`."""
    return parse_number("the number of a call's inputs", body[:32].decode("ascii", "replace"), MAX_INDEX)
