"""Calls and answers as messages: headers and a body."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from busfn.errors import ProtocolError
from busfn.protocol import headers as h
from busfn.protocol.codecs import JSON, MSGPACK, BlobRef, Payload

MOST_TEXT = 500
"""Characters of an error's text that go into a header."""
MOST_COUNT = 1_000_000
SHORT = 0.0005
"""Seconds below which an input is so short that calls may come together: the answer of a single one tells how long it
took then."""

_SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")


@dataclass(slots=True, kw_only=True)
class Call:
    """A request to run a function on one input, or on a chunk of them. Never changed, only copied."""

    call: str
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
    reply: str = ""
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
        out = {h.CALL: self.call} if self.foreign else {h.PROTOCOL: h.PROTOCOL_VERSION, h.CALL: self.call}
        _add_payload(out, self.payload)
        _add_place(out, self.index, self.count)
        if self.select is not None:
            out[h.SELECT] = f"{self.select[0]}:{self.select[1]}"
        _add_history(out, self)
        _add_origin(out, self)
        return out

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
    call: str = ""
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
        out = {h.STATUS: self.status.value, h.CALL: self.call}
        _add_payload(out, self.payload)
        _add_place(out, self.index, self.count)
        if self.sequence:
            out[h.SEQUENCE] = str(self.sequence)
        if self.worker:
            out[h.WORKER] = _in_line(self.worker)
        if self.function:
            out[h.FUNCTION] = _in_line(self.function)
        if self.took:
            out[h.TOOK] = f"{self.took:.9f}"
        if self.status is Status.ERROR:
            out[h.ERROR] = _one_line(self.text)
            out[h.ERROR_CODE] = str(self.code)
        return out

    def scope(self) -> str:
        """What a signature binds the value to."""
        return answer_scope(self.call, self.index)


def call_scope(app: str, function: str, call: str, index: int = 0) -> str:
    """`Call.scope` of a call that is still to be made."""
    return f"call {app}.{function} {call} {index}"


def answer_scope(call: str, index: int) -> str:
    """`Answer.scope` of an answer that is still to be made."""
    return f"answer {call} {index}"


def read_call(headers: Mapping[str, str], body: bytes, *, reply: str, call: str) -> Call:
    """The call in a message. Without our protocol header it is a foreign one and gets ``call`` as its id.

    Raises `ProtocolError`.
    """
    if h.PROTOCOL not in headers:
        return _read_foreign(headers, body, reply=reply, call=call)
    if headers[h.PROTOCOL] != h.PROTOCOL_VERSION:
        raise ProtocolError(f"protocol {headers[h.PROTOCOL][:20]!r} is not supported; this side speaks 1")
    return Call(
        call=_call_id(headers.get(h.CALL, "")),
        payload=_read_payload(headers, body),
        select=_range(headers) if h.SELECT in headers else None,
        reply=headers.get(h.REPLY) or reply,
        **_read_fields(headers, _CALL_FIELDS),
    )


def _read_foreign(headers: Mapping[str, str], body: bytes, *, reply: str, call: str) -> Call:
    given = {key.lower(): value for key, value in headers.items()}
    kind = given.get("content-type", "").partition(";")[0].strip().lower() or (JSON if body else "")
    own = given.get(h.CALL.lower(), "")
    return Call(
        call=_call_id(own) if own else call,
        payload=Payload(content_type=kind if body else "", body=body),
        crashes=_number(h.CRASHES, given.get(h.CRASHES.lower(), "0")),
        deadline=_number(h.DEADLINE, given.get(h.DEADLINE.lower(), "0")),
        reply=given.get(h.REPLY.lower()) or reply,
        accept=_accepted(given.get("accept", "")),
        trace=given.get("traceparent", ""),
        foreign=True,
    )


def _accepted(text: str) -> str:
    """The first type of an ``Accept`` header that we can write; empty to answer in kind."""
    kinds = (part.partition(";")[0].strip().lower() for part in text.split(","))
    return next((kind for kind in kinds if kind in (JSON, MSGPACK)), "")


def read_answer(headers: Mapping[str, str], body: bytes) -> Answer:
    """The answer in a message. Raises `ProtocolError`."""
    status = _STATUSES.get(headers.get(h.STATUS, ""))
    if status is None:
        raise ProtocolError(f"an answer has the status {headers.get(h.STATUS, '')[:50]!r}, which is unknown")
    return Answer(status=status, payload=_read_payload(headers, body), **_read_fields(headers, _ANSWER_FIELDS))


def _add_payload(out: dict[str, str], payload: Payload) -> None:
    if payload.end:
        raise AssertionError("a payload whose end is apart must be stored, or made whole, before it is sent")
    if payload.content_type:
        out[h.CONTENT_TYPE] = _in_line(payload.content_type)
    if payload.signature:
        out[h.SIGNATURE] = _in_line(payload.signature)
    if payload.blob is not None:
        out[h.BLOB] = payload.blob.encode()
        if payload.blob.reference:
            out[h.BLOB_REFERENCE] = payload.blob.reference


def _add_place(out: dict[str, str], index: int, count: int) -> None:
    if index:
        out[h.INDEX] = str(index)
    if count:
        out[h.COUNT] = str(count)


def _add_history(out: dict[str, str], call: Call) -> None:
    """What has become of it, and when it may start."""
    if call.attempt != 1:
        out[h.ATTEMPT] = str(call.attempt)
    if call.crashes:
        out[h.CRASHES] = str(call.crashes)
    if call.deadline:
        out[h.DEADLINE] = str(call.deadline)
    if call.not_before:
        out[h.NOT_BEFORE] = str(call.not_before)


def _add_origin(out: dict[str, str], call: Call) -> None:
    """Who has made it, and what they want of it."""
    if call.reply:
        out[h.REPLY] = _in_line(call.reply)
    if call.parent:
        out[h.PARENT] = _in_line(call.parent)
    if call.path:
        out[h.PATH] = _in_line("/".join(call.path))
    if call.accept:
        out[h.ACCEPT] = _in_line(call.accept)
    if call.trace:
        out[h.TRACE] = _in_line(call.trace)


def _in_line(text: str) -> str:
    """A foreign caller's lone \\n or \\r gets through the server, and would be refused when we pass it on."""
    return " ".join(text.split()) if "\n" in text or "\r" in text else text


def _read_payload(headers: Mapping[str, str], body: bytes) -> Payload:
    blob = headers.get(h.BLOB)
    return Payload(
        content_type=headers.get(h.CONTENT_TYPE, ""),
        body=body,
        signature=headers.get(h.SIGNATURE, ""),
        blob=BlobRef.decode(blob, headers.get(h.BLOB_REFERENCE, "")) if blob else None,
    )


def _read_fields(headers: Mapping[str, str], fields: Mapping[str, _Field]) -> dict[str, Any]:
    """Values of the fields that are there; mostly few are."""
    found: dict[str, Any] = {}
    for name, text in headers.items():
        field = fields.get(name)
        if field is not None:
            found[field.name] = field.read(name, text)
    return found


def _number(name: str, text: str, most: int = 1 << 62) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > most:
        raise ProtocolError(f"{name} must be a whole number up to {most}, not {text[:50]!r}")
    return int(text)


def _count(name: str, text: str) -> int:
    return _number(name, text, MOST_COUNT)


def _text(_name: str, text: str) -> str:
    return text


def _path(_name: str, text: str) -> tuple[str, ...]:
    return tuple(text.split("/")) if text else ()


def _range(headers: Mapping[str, str]) -> tuple[int, int]:
    text = headers[h.SELECT]
    first, colon, last = text.partition(":")
    low, high = _number(h.SELECT, first), _number(h.SELECT, last)
    if not colon or not 0 <= low < high <= _count(h.COUNT, headers.get(h.COUNT, "0")):
        raise ProtocolError(f"{h.SELECT} must be a range inside the chunk, not {text[:50]!r}")
    return low, high


def _seconds(name: str, text: str) -> float:
    if text and _SECONDS.fullmatch(text) is None:
        raise ProtocolError(f"{name} must be a number of seconds, not {text[:50]!r}")
    return float(text or 0)


def _call_id(text: str) -> str:
    if not 0 < len(text) <= 32 or not (text.isascii() and text.isalnum()):
        raise ProtocolError(f"{h.CALL} must be 1 to 32 letters and digits, not {text[:50]!r}")
    return text


def _one_line(text: str) -> str:
    return " ".join(text.encode("ascii", "backslashreplace").decode().split())[:MOST_TEXT]


@dataclass(frozen=True, slots=True)
class _Field:
    """What a header becomes."""

    name: str
    read: Callable[[str, str], Any]


_CALL_FIELDS = {
    h.INDEX: _Field("index", _number),
    h.COUNT: _Field("count", _count),
    h.ATTEMPT: _Field("attempt", _number),
    h.CRASHES: _Field("crashes", _number),
    h.DEADLINE: _Field("deadline", _number),
    h.NOT_BEFORE: _Field("not_before", _number),
    h.PARENT: _Field("parent", _text),
    h.PATH: _Field("path", _path),
    h.ACCEPT: _Field("accept", _text),
    h.TRACE: _Field("trace", _text),
}
_ANSWER_FIELDS = {
    h.CALL: _Field("call", _text),
    h.INDEX: _Field("index", _number),
    h.COUNT: _Field("count", _number),
    h.WORKER: _Field("worker", _text),
    h.ERROR_CODE: _Field("code", _number),
    h.ERROR: _Field("text", _text),
    h.FUNCTION: _Field("function", _text),
    h.SEQUENCE: _Field("sequence", _number),
    h.TOOK: _Field("took", _seconds),
}
_STATUSES = {status.value: status for status in Status}
