"""Calls and answers as messages: headers and a body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from busfn.errors import ProtocolError
from busfn.protocol import headers as h
from busfn.protocol.border import MOST_COUNT as MOST_COUNT
from busfn.protocol.border import NO_CALL, NO_INBOX, CallId, Inbox, is_call_id, parse_call_id
from busfn.protocol.codecs import JSON, Payload
from busfn.protocol.fields import ANSWERS, CALLS, ERRORS, PAYLOAD, Fields
from busfn.protocol.fields import MOST_TEXT as MOST_TEXT

SHORT = 0.0005
"""Seconds below which an input is so short that calls may come together: the answer of a single one tells how long it
took then."""

OURS = Fields(CALLS, PAYLOAD)
FOREIGN = Fields([row for row in CALLS if row.foreign], [row for row in PAYLOAD if row.foreign])
_PAYLOAD = Fields(PAYLOAD)
_ANSWER = Fields(ANSWERS)
_ERROR = Fields(ERRORS)
_ANSWER_OR_ERROR = Fields([*ANSWERS, *ERRORS], PAYLOAD)


@dataclass(slots=True, kw_only=True)
class Call:
    """A request to run a function on one input, or on a chunk of them. Never changed, only copied."""

    call: CallId
    payload: Payload
    index: int = 0
    """Place of the (first) input in its call."""
    count: int = 0
    """0 for a single input, else the number of inputs in the body."""
    select: tuple[int, int] | None = None
    """Only these inputs of the body are meant: a half-open range of offsets."""
    attempt: int = 1
    crashes: int = 0
    """How often a worker was lost while running it."""
    deadline: int = 0
    """Unix milliseconds after which it must not be started; 0 for never."""
    not_before: int = 0
    """Unix milliseconds before which it must not be started; 0 for at once."""
    reply: Inbox = NO_INBOX
    """Where answers go; in a header, because a stream does not keep a message's reply subject."""
    parent: str = ""
    """The input that made this call."""
    path: tuple[str, ...] = ()
    """Functions that wait for this call, outermost first."""
    accept: str = ""
    trace: str = ""
    foreign: bool = False
    """Made by a plain NATS client, without our headers: gets one plain answer, and its arguments are checked."""

    def copy(self, **changes: Any) -> Call:
        """The call with some fields changed."""
        return replace(self, **changes)

    def headers(self) -> dict[str, str]:
        """Headers that carry it; defaults are left out."""
        out = {} if self.foreign else {h.PROTOCOL: h.PROTOCOL_VERSION}
        _write_payload(self.payload, out)
        return FOREIGN.write(self, out) if self.foreign else OURS.write(self, out)

    def scope(self, app: str, function: str) -> str:
        """What a signature binds the arguments to."""
        return call_scope(app, function, self.call, self.index)


class Status(StrEnum):
    """What an answer is."""

    OK = "ok"
    ERROR = "error"
    ITEM = "item"
    """Items of a generator."""
    END = "end"
    """A generator's end; ``count`` is how many items there were."""
    BEAT = "beat"
    """The call is running, or waiting in a stream."""
    LOST = "lost"
    """The worker that ran it is gone."""
    UNREAD = "unread"
    """It lay unread for so long that it may have been sent again meanwhile; it was not run."""


@dataclass(slots=True, kw_only=True)
class Answer:
    """A message back to the caller. Never changed, only copied."""

    status: Status
    payload: Payload
    call: CallId = NO_CALL
    index: int = 0
    count: int = 0
    """0 for a single value, else ``payload`` is a list of so many."""
    worker: str = ""
    code: int = 0
    text: str = ""
    function: str = ""
    """In a stored answer: ``module:function`` of what was run."""
    sequence: int = 0
    """In a beat: where the call waits; 0 when it runs."""
    took: float = 0.0
    """Seconds an input took on average."""

    def copy(self, **changes: Any) -> Answer:
        """The answer with some fields changed."""
        return replace(self, **changes)

    def headers(self) -> dict[str, str]:
        """Headers that carry it; defaults are left out."""
        out = {h.STATUS: self.status.value}
        _write_payload(self.payload, out)
        _ANSWER.write(self, out)
        return _ERROR.write(self, out) if self.status is Status.ERROR else out

    def scope(self) -> str:
        """What a signature binds the value to."""
        return answer_scope(self.call, self.index)


def call_scope(app: str, function: str, call: str, index: int = 0) -> str:
    """`Call.scope` of a call that is still to be made."""
    return f"call {app}.{function} {call} {index}"


def answer_scope(call: str, index: int) -> str:
    """`Answer.scope` of an answer that is still to be made."""
    return f"answer {call} {index}"


def read_call(
    headers: Mapping[str, str], body: bytes, *, call: CallId, reply: Inbox = NO_INBOX, queued: bool = True
) -> Call:
    """The call in a message. Without our protocol header it is a foreign one, and gets ``call`` as its id if it names
    none. ``queued``: the message lies in a stream, where those who try a call again have written how far it is; else
    ``reply`` is where its answer goes.

    Raises `ProtocolError`.
    """
    version = _version(headers)
    if version is None:
        return _read_foreign(headers, body, call, reply, queued)
    if version != h.PROTOCOL_VERSION:
        raise ProtocolError(f"protocol {version[:20]!r} is not supported; this side speaks 1")
    found = OURS.read(headers, queued=queued)
    if "call" not in found:
        found["call"] = parse_call_id(h.CALL, "")
    payload = _read_payload(found, body)
    if "select" in found and found["select"][1] > found.get("count", 0):
        raise ProtocolError(f"{h.SELECT} must be a range inside the chunk")
    found.setdefault("reply", reply)
    return Call(payload=payload, **found)


def id_of(headers: Mapping[str, str], otherwise: CallId) -> CallId:
    """The id of a call that may be malformed, so that its caller knows a refusal for its own."""
    given = next((text for name, text in headers.items() if name.lower() == h.CALL.lower()), "")
    return CallId(given) if is_call_id(given) else otherwise


def _version(headers: Mapping[str, str]) -> str | None:
    version = headers.get(h.PROTOCOL)
    if version is not None:
        return version
    return next((text for name, text in headers.items() if name.lower() == h.PROTOCOL.lower()), None)


def _read_foreign(headers: Mapping[str, str], body: bytes, call: CallId, reply: Inbox, queued: bool) -> Call:
    found = FOREIGN.read(headers, queued=queued)
    given = found.pop("content_type", "").partition(";")[0].strip().lower()
    found.setdefault("call", call)
    found.setdefault("reply", reply)
    return Call(payload=Payload(content_type=(given or JSON) if body else "", body=body), foreign=True, **found)


def read_answer(headers: Mapping[str, str], body: bytes) -> Answer:
    """The answer in a message. Raises `ProtocolError`."""
    status = _STATUSES.get(headers.get(h.STATUS, ""))
    if status is None:
        raise ProtocolError(f"an answer has the status {headers.get(h.STATUS, '')[:50]!r}, which is unknown")
    found = _ANSWER_OR_ERROR.read(headers)
    return Answer(status=status, payload=_read_payload(found, body), **found)


def _read_payload(found: dict[str, Any], body: bytes) -> Payload:
    """Takes the payload's fields out of what was found."""
    blob, reference = found.pop("blob", None), found.pop("reference", "")
    return Payload(
        content_type=found.pop("content_type", ""),
        body=body,
        signature=found.pop("signature", ""),
        blob=replace(blob, reference=reference) if blob is not None else None,
    )


def _write_payload(payload: Payload, out: dict[str, str]) -> None:
    if payload.end:
        raise AssertionError("a payload whose end is apart must be stored, or made whole, before it is sent")
    _PAYLOAD.write(payload, out)


_STATUSES = {status.value: status for status in Status}
