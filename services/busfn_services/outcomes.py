"""How inputs of durable calls end: in a stored result, and beside it in a dead letter when they failed for good."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence

from busfn.bus.base import Message, Outgoing, SubjectFull
from busfn.errors import DeserializationError, FunctionTimeoutError, InternalFailure, SerializationError
from busfn.invoke.deadletters import drop_letter
from busfn.invoke.payloads import DEAD, discard, hold, let_go, stow, sweep
from busfn.protocol import headers as h
from busfn.protocol.bad_call import BadCall
from busfn.protocol.envelope import Answer, Call, Status
from busfn.spec import FunctionSpec
from busfn.streams import RETENTION
from busfn_services.handon import Context, failure_answer

logger = logging.getLogger("busfn.outcomes")

LETTER_PAUSE = 0.5
"""Seconds in which the dead letter of an input that is retried goes."""
NEVER_RETRIED = (BadCall, DeserializationError, SerializationError, InternalFailure)
"""Another attempt would end the same way; lost workers are counted apart."""


def retry_delay(spec: FunctionSpec, call: Call, error: BaseException) -> float | None:
    """Seconds after which a failed input is tried again, None when it is not."""
    if spec.retries is None or isinstance(error, NEVER_RETRIED) or not isinstance(error, Exception):
        return None
    return spec.retries.delay(call.attempt)


def next_attempt(call: Call, delay: float) -> Call:
    """The call as it is queued again after a failure."""
    return call.copy(attempt=call.attempt + 1, not_before=int((time.time() + delay) * 1000))


def module_name(spec: FunctionSpec) -> str:
    """The module that a function is imported from."""
    source = spec.source
    return source["target"] if source["kind"] == "module" else os.path.basename(source["target"]).removesuffix(".py")


class Outcomes:
    """Stores what became of a function's durable inputs. The first result of an input is the one that counts."""

    def __init__(self, context: Context, spec: FunctionSpec) -> None:
        self._context = context
        self._spec = spec
        self._function = " ".join(f"{module_name(spec)}:{spec.name}".split())  # a file's name may have line breaks

    async def store(self, call: Call, *answers: Answer) -> None:
        """Store outcomes of a message's inputs, in one go; an answer with a count is the same failure for so many."""
        await self._store(call, [one for answer in answers for one in _singly(answer)])

    async def refuse(self, call: Call, error: Exception) -> None:
        """Store the failure of an input that cannot be run, or of all inputs of its message."""
        low, high = call.select or (0, call.count)
        await self.store(call, failure_answer(self._context.codecs, call, call.index + low, error, high - low))

    async def settle(self, call: str, token: str) -> None:
        """Take a message of a call out of the queue, after its outcomes were stored, with what was left of others."""
        await self._context.bus.queues.confirm(token)
        await sweep(self._context.bus, self._context.subjects, self._spec.app, self._spec.name, call)

    async def _store(self, call: Call, answers: Sequence[Answer]) -> None:
        if failed := [answer for answer in answers if answer.status is Status.ERROR]:
            await asyncio.gather(*(self._bury(call, answer) for answer in failed))
        stowed = [await self._stow(answer) for answer in answers]
        stored = await self._context.bus.queues.enqueue_each([self._message(call, answer) for answer in stowed])
        for answer, kept in zip(stowed, stored, strict=True):
            if not kept:
                await self._came_second(call, answer)

    async def _stow(self, answer: Answer) -> Answer:
        payload = await stow(self._context.bus, answer.payload, ttl=RETENTION)
        return answer if payload is answer.payload else answer.copy(payload=payload)

    def _message(self, call: Call, answer: Answer) -> Outgoing:
        subject = self._context.subjects.result(self._spec.app, self._spec.name, call.call, answer.index)
        # Without an id: the subject takes one message only, and a dead letter that is retried stores a second result.
        headers = answer.headers()
        headers[h.FUNCTION] = self._function
        headers[h.TIME] = str(int(time.time() * 1000))
        if call.attempt > 1:
            headers[h.ATTEMPT] = str(call.attempt)
        return Outgoing(subject=subject, body=answer.payload.body, headers=headers, msg_id="")

    async def _came_second(self, call: Call, answer: Answer) -> None:
        """Somebody else has stored a result first: it is the one that counts, and a success needs no dead letter.

        Or we have, and the bus's word of it came too late or was lost.
        """
        stored = await self._stored(call.call, answer.index)
        if stored is not None and _is_this(stored, answer):
            return
        logger.warning(
            "%s, call %s, input %d ran twice, because a lease or a worker was lost; the first result is kept, this one"
            " is refused",
            self._spec.label, call.call, answer.index,
        )  # fmt: skip
        await discard(self._context.bus, answer.payload)
        if answer.status is Status.ERROR and await self._ended_well(call.call, answer.index):
            letter = self._context.subjects.dead(self._spec.app, self._spec.name, call.call, answer.index)
            await drop_letter(self._context.bus, self._context.subjects.stream("DEAD"), letter)

    async def _bury(self, call: Call, answer: Answer) -> None:
        """Keep the input of a failure, as it was queued, with the reason."""
        spec, subjects, bus = self._spec, self._context.subjects, self._context.bus
        if await self._ended_well(call.call, answer.index):
            return  # it ran again, and its arguments may be gone: nobody will see this failure
        subject = subjects.dead(spec.app, spec.name, call.call, answer.index)
        offset = answer.index - call.index
        record = await hold(bus, call.copy(select=(offset, offset + 1)) if call.count else call, kind=DEAD)
        headers = {**record.headers(), h.REASON: answer.text.partition(":")[0], h.ERROR: answer.headers()[h.ERROR]}
        headers[h.TIME] = str(int(time.time() * 1000))
        for pause in (LETTER_PAUSE, 0.0):
            try:
                await bus.queues.enqueue(subject, call.payload.body, headers)
                return
            except SubjectFull:  # it ran twice; or a retry has queued it, and is about to drop its old letter
                await asyncio.sleep(pause)
        await let_go(bus, record)
        logger.info("%s (input %d) is among the dead letters already", call.call, answer.index)

    async def _ended_well(self, call: str, index: int) -> bool:
        stored = await self._stored(call, index)
        return stored is not None and stored.headers.get(h.STATUS) == Status.OK

    async def _stored(self, call: str, index: int) -> Message | None:
        subjects = self._context.subjects
        return await self._context.bus.queues.latest(
            subjects.stream("RES"), subjects.result(self._spec.app, self._spec.name, call, index)
        )


def _is_this(stored: Message, answer: Answer) -> bool:
    blob = answer.payload.blob
    if blob is not None:
        return stored.headers.get(h.BLOB_REFERENCE) == blob.reference
    return stored.headers.get(h.WORKER) == answer.worker and stored.body == answer.payload.body


def _singly(answer: Answer) -> list[Answer]:
    if not answer.count:
        return [answer]
    return [answer.copy(index=answer.index + offset, count=0) for offset in range(answer.count)]


def timed_out(spec: FunctionSpec) -> FunctionTimeoutError:
    """The error of a body that did not react to its timeout."""
    return FunctionTimeoutError(
        f"{spec.label} ran longer than its timeout of {spec.timeout:g} s and did not react to it; its worker was killed"
    )
