"""Cleans up after a dead worker: puts its queued messages back, tells waiting callers, settles its deliveries."""

from __future__ import annotations

import asyncio
import logging
import time

from busfn.bus.base import Verdict
from busfn.errors import Error, InternalFailure
from busfn.invoke.delays import queued_at
from busfn.invoke.payloads import AGAIN, hold, let_go
from busfn.protocol.envelope import Call, read_call
from busfn_services.flight import Entry, Kind
from busfn_services.handon import EMPTY, Context, beat, failure_answer, refuse, send_back
from busfn_services.outcomes import Outcomes, next_attempt, retry_delay
from busfn_services.outcomes import timed_out as timeout_error
from busfn_services.supervisor.cancelled import Cancelled
from busfn_services.supervisor.recovery import blameless, recover
from busfn_services.supervisor.worker import Worker

logger = logging.getLogger("busfn.supervisor")

LEASE = 30.0
"""Seconds after which the server hands out again what a lost worker held."""
MOST_RELEASED = 10_000
"""Messages whose release is remembered."""
PAUSE = 1.0
"""Seconds between attempts."""


class Rescue:
    """What a supervisor does for the messages of a worker that is gone."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._bus = context.bus
        self._subjects = context.subjects
        self._codecs = context.codecs
        self._released: dict[int, int] = {}
        """How often messages were handed out again after they had lost a worker, by number, oldest first."""

    async def all(self, worker: Worker, entries: list[Entry], cancelled: Cancelled) -> None:
        """Take care of every message that the worker held; those of ``cancelled`` calls are just forgotten.

        While the bus is away it is tried again, until the server has taken the messages back by itself.
        """
        entries = blameless(entries)
        end = time.monotonic() + LEASE
        while entries := [entry for entry in entries if not await self._saved(worker, entry, cancelled)]:
            if time.monotonic() > end:
                logger.warning("%d messages of lost worker %s are left to their leases", len(entries), worker.name)
                return
            await asyncio.sleep(PAUSE)

    async def _saved(self, worker: Worker, entry: Entry, cancelled: Cancelled) -> bool:
        try:
            await self._save(worker, entry, cancelled)
        except Error as error:
            logger.info("a message of lost worker %s is not put back yet: %s", worker.name, error)
            return False
        return True

    async def _save(self, worker: Worker, entry: Entry, cancelled: Cancelled) -> None:
        if cancelled.ends(worker.spec.app, worker.spec.name, entry) is None:
            timed_out = worker.killed_for is not None and worker.killed_for.accepted == entry.accepted
            if entry.kind is Kind.JOB:
                if await self._requeue(worker, entry, timed_out=timed_out):
                    self._bus.queues.settle(entry.token, Verdict.NAK)
                    return
            else:
                self._tell_caller(worker, entry, timed_out=timed_out)
        if entry.kind is Kind.JOB and not entry.reply:
            await Outcomes(self._context, worker.spec).settle(entry.call, entry.token)
        elif entry.token:
            self._bus.queues.settle(entry.token, Verdict.ACK)

    async def _requeue(self, worker: Worker, entry: Entry, *, timed_out: bool) -> bool:
        """Put back what is to be done again; tells whether the message itself is to be handed out again."""
        message = await self._bus.queues.peek(self._subjects.stream("JOBS"), entry.sequence)
        if message is None:  # it was acked in its last moment
            return False
        call = read_call(message.headers, message.body, call=entry.call)
        verdicts = recover(call, entry, hopeless=timed_out, released=self._released.get(entry.sequence, 0))
        if verdicts.release:
            if entry.cursor < entry.upto:  # what merely waited here is not to blame
                self._note_release(entry.sequence)
            return True
        for again in verdicts.again:
            await self._enqueue(worker, again, entry.sequence)
        if verdicts.failed is not None:
            await self._give_up(worker, verdicts.failed, entry.sequence, timed_out=timed_out)
        await let_go(self._bus, call)
        return False

    def _note_release(self, sequence: int) -> None:
        self._released[sequence] = self._released.pop(sequence, 0) + 1
        if len(self._released) > MOST_RELEASED:
            self._released.pop(next(iter(self._released)))

    async def _give_up(self, worker: Worker, call: Call, lost: int, *, timed_out: bool) -> None:
        """An input that is not run again for a lost worker; a timeout is an ordinary failure, which may be retried."""
        error = self._error(worker, call.crashes, timed_out)
        delay = retry_delay(worker.spec, call, error) if timed_out else None
        if delay is not None:
            await self._enqueue(worker, next_attempt(call, delay), lost)
        elif call.reply:
            refuse(self._bus, self._codecs, call, error)
        else:
            low = (call.select or (0, 0))[0]
            answer = failure_answer(self._codecs, call, call.index + low, error, worker=worker.name)
            await Outcomes(self._context, worker.spec).store(call, answer)

    async def _enqueue(self, worker: Worker, call: Call, lost: int) -> None:
        """Queue a part of a message that was lost, once, however often we try."""
        subject = queued_at(self._subjects, worker.spec.app, worker.spec.name, call, time.time())
        low = (call.select or (0, 0))[0]
        part = f"{call.index + low}lost{lost}"
        call, msg_id = await hold(self._bus, call, part, AGAIN), f"{call.call}.{part}"
        sequence = await self._bus.queues.enqueue(subject, call.payload.body, call.headers(), msg_id=msg_id)
        beat(self._bus, call.reply, call.call, index=call.index + low, sequence=sequence, worker=worker.name)

    def _tell_caller(self, worker: Worker, entry: Entry, *, timed_out: bool) -> None:
        call = Call(call=entry.call, payload=EMPTY, index=entry.first, reply=entry.reply, foreign=entry.foreign)
        if entry.end > 1:  # of several calls in one message, the one that was over its time will be so again, alone
            index, count = entry.first + entry.cursor, entry.end - entry.cursor
            send_back(self._bus, entry.reply, entry.call, index, count, worker.name)
        elif timed_out or entry.foreign:
            refuse(self._bus, self._codecs, call, self._error(worker, entry.crashes + 1, timed_out))
        else:
            send_back(self._bus, entry.reply, entry.call, entry.first, 0, worker.name)

    def _error(self, worker: Worker, crashes: int, timed_out: bool) -> Error:
        label = worker.spec.label
        if timed_out:
            return timeout_error(worker.spec)
        return InternalFailure(f"{label}: {crashes} worker(s) were lost while running this input")
