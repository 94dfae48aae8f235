"""How inputs of durable calls end: in a stored result, and beside it in a dead letter when they failed for good."""

from __future__ import annotations

import asyncio
import logging
import time

from busfn.bus.base import SubjectFull
from busfn.errors import DeserializationError, FunctionTimeoutError, InternalFailure, SerializationError
from busfn.invoke.payloads import stow
from busfn.protocol import headers as h
from busfn.protocol.convert import BadCall
from busfn.protocol.envelope import Answer, Call, Status, read_answer
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


class Outcomes:
    """Stores what became of a function's durable inputs. The first result of an input is the one that counts."""

    def __init__(self, context: Context, spec: FunctionSpec) -> None:
        self._context = context
        self._spec = spec

    async def store(self, call: Call, answer: Answer) -> None:
        """Store the outcome of one input, or the same failure for all inputs that the answer counts."""
        inputs = range(answer.index, answer.index + max(1, answer.count))
        await asyncio.gather(*(self._store(call, answer.copy(index=index, count=0)) for index in inputs))

    async def refuse(self, call: Call, error: Exception) -> None:
        """Store the failure of an input that cannot be run, or of all inputs of its message."""
        low, high = call.select or (0, call.count)
        await self.store(call, failure_answer(self._context.codecs, call, call.index + low, error, high - low))

    async def _store(self, call: Call, answer: Answer) -> None:
        bus, subjects = self._context.bus, self._context.subjects
        if answer.status is Status.ERROR:
            await self._bury(call, answer)
        stowed = answer.copy(payload=await stow(bus, answer.payload, ttl=RETENTION))
        subject = subjects.result(self._spec.app, call.call, answer.index)
        try:
            await bus.queues.enqueue(subject, stowed.payload.body, stowed.headers())
        except SubjectFull:
            await self._came_second(call, answer)

    async def _came_second(self, call: Call, answer: Answer) -> None:
        """Somebody else has stored a result first: it is the one that counts, and a success needs no dead letter."""
        logger.warning(
            "%s, call %s, input %d ran twice, because a lease or a worker was lost; the first result is kept, this one"
            " is refused",
            self._spec.label, call.call, answer.index,
        )  # fmt: skip
        queues, subjects = self._context.bus.queues, self._context.subjects
        if answer.status is Status.ERROR:
            first = await queues.latest(
                subjects.stream("RES"), subjects.result(self._spec.app, call.call, answer.index)
            )
            if first is not None and read_answer(first.headers, b"").status is Status.OK:
                letter = subjects.dead(self._spec.app, self._spec.name, call.call, answer.index)
                await queues.purge(subjects.stream("DEAD"), letter)

    async def _bury(self, call: Call, answer: Answer) -> None:
        """Keep the input of a failure, as it was queued, with the reason."""
        spec, subjects = self._spec, self._context.subjects
        subject = subjects.dead(spec.app, spec.name, call.call, answer.index)
        offset = answer.index - call.index
        record = call.copy(select=(offset, offset + 1)) if call.count else call
        headers = {**record.headers(), h.REASON: answer.text.partition(":")[0], h.ERROR: answer.headers()[h.ERROR]}
        for pause in (LETTER_PAUSE, 0.0):
            try:
                await self._context.bus.queues.enqueue(subject, call.payload.body, headers)
                return
            except SubjectFull:  # it ran twice; or a retry has queued it, and is about to drop its old letter
                await asyncio.sleep(pause)
        logger.info("%s (input %d) is among the dead letters already", call.call, answer.index)


def timed_out(spec: FunctionSpec) -> FunctionTimeoutError:
    """The error of a body that did not react to its timeout."""
    return FunctionTimeoutError(
        f"{spec.label} ran longer than its timeout of {spec.timeout:g} s and did not react to it; its worker was killed"
    )
