"""What everyone in a function's queue group does with a call: admit it, and run it or hand it on.

Handing on means the overflow stream, from where whoever has a free slot takes it.
"""

from __future__ import annotations

import time
from typing import Protocol

from busfn.bus.base import Bus, Message
from busfn.errors import Error, FunctionTimeoutError, ProtocolError, QueueFull, ResourceExhaustedError, ServiceError
from busfn.ids import new_call_id
from busfn.invoke.delays import overflow_at
from busfn.invoke.liveness import SILENCE
from busfn.protocol import headers as h
from busfn.protocol.codecs import JSON, Codecs, Payload
from busfn.protocol.envelope import Answer, Call, Status, read_call
from busfn.protocol.failure import encode_failure, error_code, summary
from busfn.protocol.subjects import Subjects
from busfn_services.ours import is_framework_file

EMPTY = Payload(content_type="", body=b"")
RESENT_AFTER = SILENCE - 0.5
"""Seconds after which a call that lay unread may have been sent again, and run by another worker."""
REPLY_PREFIXES = ("_INBOX",)
"""Where answers may go. A reply subject is not checked by the server's permissions, so a caller could make us publish
anywhere otherwise."""


class Context(Protocol):
    """What handing on needs of a connection."""

    @property
    def bus(self) -> Bus: ...
    @property
    def subjects(self) -> Subjects: ...
    @property
    def codecs(self) -> Codecs: ...


def may_answer(reply: str) -> bool:
    """Whether a reply subject is an inbox."""
    return reply.startswith(REPLY_PREFIXES)


def admit(context: Context, message: Message, *, reply: str, durable: bool = False) -> Call | None:
    """The call in a message; None when nobody can be answered, it is too late, or it was malformed and refused.

    The outcome of a ``durable`` one is stored, so it needs no reply; its id is the last token of its subject.
    """
    own = message.subject.rpartition(".")[2] if durable else ""
    try:
        call = read_call(message.headers, message.body, reply=reply, call=own)
    except ProtocolError as error:
        malformed = Call(call=new_call_id(), payload=EMPTY, reply=reply, foreign=True)
        refuse(context.bus, context.codecs, malformed, error)
        return None
    if not call.call:
        call = call.copy(call=new_call_id())
    expired = 0 < call.deadline < time.time() * 1000
    answerable = may_answer(call.reply) or (durable and not call.reply)
    return call if answerable and not expired else None


def unfit(message: Message) -> tuple[Call, Error] | None:
    """Why a queued input was not admitted, for its record; None when only its caller, who is gone, wanted it."""
    headers = {key.lower(): value for key, value in message.headers.items()}
    body = Payload(content_type=headers.get(h.CONTENT_TYPE.lower(), ""), body=message.body)
    named = Call(call=message.subject.rpartition(".")[2], payload=body, foreign=h.PROTOCOL.lower() not in headers)
    try:
        call = read_call(message.headers, message.body, reply="", call=named.call)
    except ProtocolError as error:
        return named, error
    if not call.reply:
        return call, FunctionTimeoutError("its deadline had passed before a worker could take it, so it was not run")
    if not may_answer(call.reply):
        return call.copy(reply=""), ProtocolError(f"{h.REPLY} must be an inbox, not {call.reply[:50]!r}")
    return None


async def hand_on(context: Context, app: str, function: str, call: Call) -> None:
    """Put a call into the overflow stream; its caller learns its place there, or why it was refused."""
    bus, subject = context.bus, overflow_at(context.subjects, app, function, call, time.time())
    try:
        sequence = await bus.queues.enqueue(subject, call.payload.body, call.headers())
    except QueueFull:
        error = ResourceExhaustedError(f"{app}.{function} is overloaded: the queue of waiting calls is full")
        refuse(bus, context.codecs, call, error)
    except Error as error:
        refuse(bus, context.codecs, call, ServiceError(f"{app}.{function} could not queue the call: {error}"))
    else:
        beat(bus, call.reply, call.call, sequence=sequence, foreign=call.foreign)


def beat(
    bus: Bus, reply: str, call: str, *, index: int = 0, sequence: int = 0, worker: str = "", foreign: bool = False
) -> None:
    """Tell a caller that its call is running, or (with ``sequence``) where it is queued."""
    if not foreign and may_answer(reply):
        answer = Answer(status=Status.BEAT, payload=EMPTY, call=call, index=index, sequence=sequence, worker=worker)
        bus.publish(reply, b"", answer.headers())


def send_back(bus: Bus, reply: str, call: str, index: int, count: int, worker: str = "") -> None:
    """Tell a caller that its call, or these inputs of several in one message, will not be answered: it is to send them
    again, one by one."""
    if may_answer(reply):
        lost = Answer(status=Status.LOST, payload=EMPTY, call=call, index=index, count=count, worker=worker)
        bus.publish(reply, b"", lost.headers())


def decline(bus: Bus, call: Call, worker: str = "", sequence: int = 0) -> None:
    """Tell a caller that we came too late to its call, or (with ``sequence``) to its place in the overflow stream, to
    run it: it is to send it again, unless it has."""
    unread = Answer(status=Status.UNREAD, payload=EMPTY, call=call.call, sequence=sequence, worker=worker)
    bus.publish(call.reply, b"", unread.headers())


def refuse(bus: Bus, codecs: Codecs, call: Call, error: BaseException) -> None:
    """Answer a call, or all inputs of a chunk, with an error."""
    if not may_answer(call.reply):
        return
    low, high = call.select or (0, call.count)
    answer = failure_answer(codecs, call, call.index + low, error, high - low)
    bus.publish(call.reply, answer.payload.body, answer.headers())


def failure_answer(
    codecs: Codecs, call: Call, index: int, error: BaseException, count: int = 0, worker: str = ""
) -> Answer:
    """The answer that raises ``error`` at the caller, for ``count`` inputs from ``index`` on (0 for a single call)."""
    text = summary(error)
    answer = Answer(
        status=Status.ERROR, payload=EMPTY, call=call.call, index=index, count=count, worker=worker,
        code=error_code(error), text=text,
    )  # fmt: skip
    if call.foreign:
        return answer.copy(payload=codecs.encode({"error": text}, scope=answer.scope(), what="error", accept=JSON))
    return answer.copy(
        payload=encode_failure(codecs, error, scope=answer.scope(), skip=is_framework_file, worker=worker)
    )
