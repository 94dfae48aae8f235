"""Cleans up after a dead worker: puts its queued messages back, tells waiting callers, settles its deliveries."""

from __future__ import annotations

from busfn.bus.base import Bus, Verdict
from busfn.errors import Error, FunctionTimeoutError, InternalFailure
from busfn.protocol.codecs import Codecs
from busfn.protocol.envelope import Answer, Call, Status, read_call
from busfn.protocol.subjects import Subjects
from busfn_services.flight import Entry, Kind
from busfn_services.handon import EMPTY, beat, may_answer, refuse
from busfn_services.supervisor.recovery import recover
from busfn_services.supervisor.worker import Worker


class Rescue:
    """What a supervisor does for the messages of a worker that is gone."""

    def __init__(self, bus: Bus, subjects: Subjects, codecs: Codecs) -> None:
        self._bus = bus
        self._subjects = subjects
        self._codecs = codecs

    async def all(self, worker: Worker, entries: list[Entry]) -> None:
        """Take care of every message that the worker held."""
        for entry in entries:
            timed_out = worker.killed_for is not None and worker.killed_for.accepted == entry.accepted
            if entry.kind is Kind.JOB:
                await self._requeue(worker, entry, timed_out=timed_out)
            else:
                self._tell_caller(worker, entry, timed_out=timed_out)
            if entry.token:
                self._bus.queues.settle(entry.token, Verdict.ACK)

    async def _requeue(self, worker: Worker, entry: Entry, *, timed_out: bool) -> None:
        message = await self._bus.queues.peek(self._subjects.stream("JOBS"), entry.sequence)
        if message is None:  # it was acked in its last moment
            return
        call = read_call(message.headers, message.body, reply="", call=entry.call)
        verdicts = recover(call, entry, hopeless=timed_out)
        for again in verdicts.again:
            await self._enqueue(worker, again)
        if verdicts.failed is not None:
            refuse(self._bus, self._codecs, verdicts.failed, self._error(worker, verdicts.failed.crashes, timed_out))

    async def _enqueue(self, worker: Worker, call: Call) -> None:
        subject = self._subjects.job(worker.spec.app, worker.spec.name, call.call)
        low = (call.select or (0, 0))[0]
        msg_id = f"{call.call}.{call.index + low}.{call.crashes}.{worker.name}"
        sequence = await self._bus.queues.enqueue(subject, call.payload.body, call.headers(), msg_id=msg_id)
        beat(self._bus, call.reply, call.call, index=call.index + low, sequence=sequence, worker=worker.name)

    def _tell_caller(self, worker: Worker, entry: Entry, *, timed_out: bool) -> None:
        call = Call(call=entry.call, payload=EMPTY, index=entry.first, reply=entry.reply, foreign=entry.foreign)
        if timed_out or entry.foreign:
            refuse(self._bus, self._codecs, call, self._error(worker, entry.crashes + 1, timed_out))
        elif may_answer(entry.reply):
            lost = Answer(status=Status.LOST, payload=EMPTY, call=entry.call, worker=worker.name)
            self._bus.publish(entry.reply, b"", lost.headers())

    def _error(self, worker: Worker, crashes: int, timed_out: bool) -> Error:
        label = worker.spec.label
        if timed_out:
            return FunctionTimeoutError(
                f"{label} ran longer than its timeout of {worker.spec.timeout:g} s and did not react to it;"
                " its worker was killed"
            )
        return InternalFailure(f"{label}: {crashes} worker(s) were lost while running this input")
