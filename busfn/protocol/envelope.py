"""Calls and answers as messages: headers and a body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from busfn.errors import ProtocolError
from busfn.protocol import headers as h
from busfn.protocol.codecs import JSON, MSGPACK, BlobRef, Payload

MOST_TEXT = 500
"""Characters of an error's text that go into a header."""
MOST_COUNT = 1_000_000

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
        out: dict[str, str] = {} if self.foreign else {h.PROTOCOL: h.PROTOCOL_VERSION}
        out[h.CALL] = self.call
        _add_payload(out, self.payload)
        _add_numbers(
            out,
            {
                h.INDEX: self.index,
                h.COUNT: self.count,
                h.CRASHES: self.crashes,
                h.DEADLINE: self.deadline,
                h.NOT_BEFORE: self.not_before,
            },
        )
        if self.attempt != 1:
            out[h.ATTEMPT] = str(self.attempt)
        if self.select is not None:
            out[h.SELECT] = f"{self.select[0]}:{self.select[1]}"
        _add_texts(
            out,
            {
                h.REPLY: self.reply,
                h.PARENT: self.parent,
                h.PATH: "/".join(self.path),
                h.ACCEPT: self.accept,
                h.TRACE: self.trace,
            },
        )
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
        _add_numbers(out, {h.INDEX: self.index, h.COUNT: self.count, h.SEQUENCE: self.sequence})
        _add_texts(out, {h.WORKER: self.worker, h.FUNCTION: self.function})
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
    path = headers.get(h.PATH, "")
    return Call(
        call=_call_id(headers.get(h.CALL, "")),
        payload=_read_payload(headers, body),
        index=_number(headers, h.INDEX),
        count=_number(headers, h.COUNT, most=MOST_COUNT),
        select=_range(headers),
        attempt=_number(headers, h.ATTEMPT, 1),
        crashes=_number(headers, h.CRASHES),
        deadline=_number(headers, h.DEADLINE),
        not_before=_number(headers, h.NOT_BEFORE),
        reply=headers.get(h.REPLY) or reply,
        parent=headers.get(h.PARENT, ""),
        path=tuple(path.split("/")) if path else (),
        accept=headers.get(h.ACCEPT, ""),
        trace=headers.get(h.TRACE, ""),
    )


def _read_foreign(headers: Mapping[str, str], body: bytes, *, reply: str, call: str) -> Call:
    given = {key.lower(): value for key, value in headers.items()}
    kind = given.get("content-type", "").partition(";")[0].strip().lower() or (JSON if body else "")
    own = given.get(h.CALL.lower(), "")
    return Call(
        call=_call_id(own) if own else call,
        payload=Payload(content_type=kind if body else "", body=body),
        crashes=_number(given, h.CRASHES.lower()),
        deadline=_number(given, h.DEADLINE.lower()),
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
    try:
        status = Status(headers.get(h.STATUS, ""))
    except ValueError:
        raise ProtocolError(f"an answer has the status {headers.get(h.STATUS, '')[:50]!r}, which is unknown") from None
    return Answer(
        status=status,
        payload=_read_payload(headers, body),
        call=headers.get(h.CALL, ""),
        index=_number(headers, h.INDEX),
        count=_number(headers, h.COUNT),
        worker=headers.get(h.WORKER, ""),
        code=_number(headers, h.ERROR_CODE),
        text=headers.get(h.ERROR, ""),
        function=headers.get(h.FUNCTION, ""),
        sequence=_number(headers, h.SEQUENCE),
        took=_seconds(headers.get(h.TOOK)),
    )


def _add_payload(out: dict[str, str], payload: Payload) -> None:
    _add_texts(out, {h.CONTENT_TYPE: payload.content_type, h.SIGNATURE: payload.signature})
    if payload.blob is not None:
        out[h.BLOB] = payload.blob.encode()
        _add_texts(out, {h.BLOB_REFERENCE: payload.blob.reference})


def _add_numbers(out: dict[str, str], numbers: Mapping[str, int]) -> None:
    for name, number in numbers.items():
        if number:
            out[name] = str(number)


def _add_texts(out: dict[str, str], texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        if text:
            # a foreign caller's lone \n or \r gets through the server, and would be refused when we pass it on
            out[name] = " ".join(text.split()) if "\n" in text or "\r" in text else text


def _read_payload(headers: Mapping[str, str], body: bytes) -> Payload:
    blob = headers.get(h.BLOB)
    return Payload(
        content_type=headers.get(h.CONTENT_TYPE, ""),
        body=body,
        signature=headers.get(h.SIGNATURE, ""),
        blob=BlobRef.decode(blob, headers.get(h.BLOB_REFERENCE, "")) if blob else None,
    )


def _number(headers: Mapping[str, str], name: str, default: int = 0, most: int = 1 << 62) -> int:
    text = headers.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > most:
        raise ProtocolError(f"{name} must be a whole number up to {most}, not {text[:50]!r}")
    return int(text)


def _range(headers: Mapping[str, str]) -> tuple[int, int] | None:
    text = headers.get(h.SELECT)
    if text is None:
        return None
    first, colon, last = text.partition(":")
    low, high = _number({h.SELECT: first}, h.SELECT), _number({h.SELECT: last}, h.SELECT)
    if not colon or not 0 <= low < high <= _number(headers, h.COUNT, most=MOST_COUNT):
        raise ProtocolError(f"{h.SELECT} must be a range inside the chunk, not {text[:50]!r}")
    return low, high


def _seconds(text: str | None) -> float:
    if not text:
        return 0.0
    if _SECONDS.fullmatch(text) is None:
        raise ProtocolError(f"{h.TOOK} must be a number of seconds, not {text[:50]!r}")
    return float(text)


def _call_id(text: str) -> str:
    if not 0 < len(text) <= 32 or not (text.isascii() and text.isalnum()):
        raise ProtocolError(f"{h.CALL} must be 1 to 32 letters and digits, not {text[:50]!r}")
    return text


def _one_line(text: str) -> str:
    return " ".join(text.encode("ascii", "backslashreplace").decode().split())[:MOST_TEXT]
