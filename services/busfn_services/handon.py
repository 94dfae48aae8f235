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
from busfn.protocol.admission import Way, check_job, check_start
from busfn.protocol.border import NO_CALL, NO_INBOX, CallId, Inbox, inbox_or_none, is_call_id, one_line, parse_call_id
from busfn.protocol.codecs import JSON, Codecs, Payload
from busfn.protocol.envelope import Answer, Call, Status, id_of, read_call
from busfn.protocol.failure import encode_failure, error_code, summary
from busfn.protocol.fields import MAX_CONTENT_TYPE
from busfn.protocol.subjects import Subjects
from busfn_services.answering import send
from busfn_services.ours import is_framework_file

EMPTY = Payload(content_type="", body=b"")
RESENT_AFTER = SILENCE - 0.5
"""Seconds after which a call that lay unread may have been sent again, and run by another worker."""


class Context(Protocol):
    """What handing on needs of a connection."""

    @property
    def bus(self) -> Bus: ...
    @property
    def subjects(self) -> Subjects: ...
    @property
    def codecs(self) -> Codecs: ...


def admit(context: Context, message: Message, way: Way, now: float) -> Call | None:
    """The call in a message; None when nobody can be answered, it is too late, or it was malformed and refused.

    The outcome of a queued one without an inbox is stored; see `unfit` for what becomes of it. ``now`` is in Unix
    seconds.
    """
    try:
        call = _read(message, way)
        check_start(call, way, now)
    except ProtocolError as error:
        _refuse_malformed(context, message, way, error)
        return None
    expired = 0 < call.deadline < now * 1000
    return None if expired or not (call.reply or way is Way.JOB) else call


def unfit(message: Message, now: float) -> tuple[Call, Error] | None:
    """Why a queued input was not admitted, for its record; None when only its caller, who is gone, wanted it."""
    try:
        call = _read(message, Way.JOB)
    except ProtocolError as error:
        return _record(message), error
    try:
        check_start(call, Way.JOB, now)
    except ProtocolError as error:
        return call.copy(reply=NO_INBOX, not_before=0), error
    if call.reply:
        return None
    return call, FunctionTimeoutError("its deadline had passed before a worker could take it, so it was not run")


def _read(message: Message, way: Way) -> Call:
    if way is Way.JOB:
        own = parse_call_id("the last part of the subject", message.subject.rpartition(".")[2])
        call = read_call(message.headers, message.body, call=own)
        check_job(call, own)
        return call
    reply = NO_INBOX if way is Way.OVERFLOW else inbox_or_none(message.reply)
    call = read_call(message.headers, message.body, call=NO_CALL, reply=reply, queued=way is Way.OVERFLOW)
    return call if call.call else call.copy(call=new_call_id())


def _refuse_malformed(context: Context, message: Message, way: Way, error: ProtocolError) -> None:
    """Tell whoever has sent it, if we know where: in a header that may itself be what is wrong."""
    reply = message.reply if way is Way.DIRECT else message.headers.get(h.REPLY, "")
    call = id_of(message.headers, new_call_id())
    malformed = Call(call=call, payload=EMPTY, reply=inbox_or_none(reply), foreign=True)
    refuse(context.bus, context.codecs, malformed, error)


def _record(message: Message) -> Call:
    """A queued message that cannot be read, as it can be kept."""
    headers = {key.lower(): value for key, value in message.headers.items()}
    kind = one_line(headers.get(h.CONTENT_TYPE.lower(), ""), MAX_CONTENT_TYPE)
    token = message.subject.rpartition(".")[2]
    call = CallId(token) if is_call_id(token) else new_call_id()
    foreign = h.PROTOCOL.lower() not in headers
    return Call(call=call, payload=Payload(content_type=kind, body=message.body), foreign=foreign)


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
    bus: Bus, reply: Inbox, call: CallId, *, index: int = 0, sequence: int = 0, worker: str = "", foreign: bool = False
) -> None:
    """Tell a caller that its call is running, or (with ``sequence``) where it is queued."""
    if not foreign and reply:
        answer = Answer(status=Status.BEAT, payload=EMPTY, call=call, index=index, sequence=sequence, worker=worker)
        send(bus, reply, b"", answer.headers())


def send_back(bus: Bus, reply: Inbox, call: CallId, index: int, count: int, worker: str = "") -> None:
    """Tell a caller that its call, or these inputs of several in one message, will not be answered: it is to send them
    again, one by one."""
    lost = Answer(status=Status.LOST, payload=EMPTY, call=call, index=index, count=count, worker=worker)
    send(bus, reply, b"", lost.headers())


def decline(bus: Bus, call: Call, worker: str = "", sequence: int = 0) -> None:
    """Tell a caller that we came too late to its call, or (with ``sequence``) to its place in the overflow stream, to
    run it: it is to send it again, unless it has."""
    unread = Answer(status=Status.UNREAD, payload=EMPTY, call=call.call, sequence=sequence, worker=worker)
    send(bus, call.reply, b"", unread.headers())


def refuse(bus: Bus, codecs: Codecs, call: Call, error: BaseException) -> None:
    """Answer a call, or all inputs of a chunk, with an error."""
    if not call.reply:
        return
    low, high = call.select or (0, call.count)
    answer = failure_answer(codecs, call, call.index + low, error, high - low)
    send(bus, call.reply, answer.payload.body, answer.headers())


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
