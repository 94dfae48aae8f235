"""What leaves a worker for the messages that it runs: answers, stored outcomes, retries, and at last the ack.

The main thread calls it as its `Port`; everything is done on the loop thread, in the order of the calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from busfn.bus.base import Channel, Message, Verdict
from busfn.errors import Error
from busfn.invoke.delays import queued_at
from busfn.invoke.link import Link
from busfn.invoke.payloads import AGAIN, SPILL, hold, let_go, spills, stow, withdraw
from busfn.protocol.envelope import Answer, Call
from busfn.spec import FunctionSpec
from busfn_services.answering import send
from busfn_services.flight import FlightTable, Kind
from busfn_services.handon import beat, hand_on, refuse
from busfn_services.outcomes import Outcomes, next_attempt
from busfn_services.worker.answers import AnswerBuilder
from busfn_services.worker.background import Background
from busfn_services.worker.job import Job
from busfn_services.worker.outlet import Outlet
from busfn_services.worker.starts import Starts
from busfn_services.worker.stats import Stats

STORE_PAUSE = 1.0
"""Seconds before an input is run again whose result could not be stored."""
MOST_CALLERS = 64
"""Maps whose callers are remembered, so that their end is noticed."""


class Holder(Protocol):
    """Who holds the messages."""

    def ran(self, job: Job, mean: float) -> None:
        """The body is done with it; ``mean`` seconds an input, 0 when none was run."""

    def forget(self, *jobs: Job) -> None:
        """They are settled, and everything of them was sent."""

    def caller_gone(self, call: str) -> None:
        """Nobody waits for the results of this map any more."""


class Outbox:
    """The sending side of one worker; see `busfn_services.worker.port.Port`."""

    def __init__(
        self,
        link: Link,
        spec: FunctionSpec,
        table: FlightTable,
        worker: str,
        background: Background,
        holder: Holder,
        starts: Starts,
    ) -> None:
        self._link = link
        self._bus = link.bus
        self._spec = spec
        self._table = table
        self._worker = worker
        self._background = background
        self._holder = holder
        self._outcomes = Outcomes(link, spec)
        self._starts = starts
        self._post = link.portal.call
        self._callers: dict[str, Channel] = {}
        self._settled: list[Job] = []
        self._answers = AnswerBuilder(link.codecs, worker)
        self.stats = Stats()

    # Called from the main thread

    def started(self, job: Job, upto: int) -> None:
        if job.suspect and not job.noted:
            self._link.portal.submit(self._starts.note(job)).wait()
        job.started_at = time.monotonic()
        self._table.started(job.slot, upto, job.started_at)

    def ended(self, job: Job) -> None:
        job.started_at = 0.0
        self._table.ended(job.slot)

    def answer(self, job: Job, *answers: Answer) -> None:
        self._post(self._answer, job, answers)

    def retry(self, job: Job, offset: int, delay: float) -> None:
        self._post(self._retry, job, offset, delay)

    def stream(self, job: Job, outlet: Outlet, last: Answer | None = None) -> None:
        self._post(self._stream, job, outlet, last)

    def finish(self, job: Job, mean: float, *answers: Answer) -> None:
        self.ended(job)
        self._post(self._finish, job, mean, answers)

    # On the loop thread

    def answer_ready(self, job: Job) -> None:
        """Send results of calls that came together while another one of them runs on."""
        if results := job.take_ready():
            self._answer(job, self._answers.joined(job.call, results, 0.0))

    def send_now(self, job: Job, answers: Sequence[Answer]) -> None:
        """Answer a message that was never run, and settle it."""
        if answers:
            self._answer(job, answers)
        self._conclude(job)

    def _answer(self, job: Job, answers: Sequence[Answer]) -> None:
        self._send(job, answers, self._gone_channel(job.call.call) if job.kind is Kind.JOB else "")
        answer = answers[-1]
        if answer.count and job.tail is None:
            self._link.portal.loop.call_soon(
                self._table.answered, job.slot, answer.index - job.call.index + answer.count
            )

    def _stream(self, job: Job, outlet: Outlet, last: Answer | None) -> None:
        self._send(job, [*outlet.flush(), *([last] if last else [])], job.control.subject if job.control else "")

    def _finish(self, job: Job, mean: float, answers: Sequence[Answer]) -> None:
        if answers:
            self._answer(job, answers)
        if not job.returned:
            self.stats.seconds += mean * job.inputs
            self._holder.ran(job, mean)
        self._conclude(job)

    def _conclude(self, job: Job) -> None:
        if job.returned:
            self._holder.forget(job)
        elif job.tail or job.given_back or job.refers:
            self._background.spawn(self._settle_when_done(job))
        else:
            self._settle(job)

    def _gone_channel(self, call: str) -> str:
        """Where the server says that the caller of a map listens no more."""
        channel = self._callers.pop(call, None) or self._bus.channel(partial(self._on_gone, call))
        self._callers[call] = channel
        if len(self._callers) > MOST_CALLERS:
            self._callers.pop(next(iter(self._callers))).close()
        return channel.subject

    def _on_gone(self, call: str, message: Message) -> None:
        if message.status == "503":
            self._holder.caller_gone(call)

    def _retry(self, job: Job, offset: int, delay: float) -> None:
        job.tail = self._background.spawn(self._queue_again(job.tail, job, offset, delay))

    async def _queue_again(self, before: asyncio.Task[None] | None, job: Job, offset: int, delay: float) -> None:
        await _done(before)
        if job.cancelled:
            return
        call = next_attempt(job.wire, delay)
        if call.count:
            call = call.copy(select=(offset, offset + 1))
        if job.kind is not Kind.JOB:
            await hand_on(self._link, self._spec.app, self._spec.name, call)
            return
        # Once for each message that failed: its number tells attempts apart, also those of a dead letter's retry.
        await self.queue_further(job, call, offset, f"{call.index + offset}failed{job.sequence}")

    async def queue_further(self, job: Job, call: Call, offset: int, part: str = "") -> int:
        """Queue a message for some inputs of one that we hold, from ``offset`` on; once, if ``part`` names it.

        Returns its place in the stream.
        """
        call = await hold(self._bus, call, part, AGAIN)
        subject = queued_at(self._link.subjects, self._spec.app, self._spec.name, call, time.time())
        msg_id = f"{call.call}.{part}" if part else ""
        sequence = await self._bus.queues.enqueue(subject, call.payload.body, call.headers(), msg_id=msg_id)
        beat(self._bus, call.reply, call.call, index=call.index + offset, sequence=sequence, worker=self._worker)
        if job.cancelled:  # just now: the queue was purged before we added to it
            await withdraw(self._bus, self._link.subjects, self._spec.app, self._spec.name, call.call)
        return sequence

    async def _store(self, before: asyncio.Task[None] | None, job: Job, answers: Sequence[Answer]) -> None:
        await _done(before)
        if job.cancelled:
            return
        await self._outcomes.store(job.wire, *answers)
        self._table.answered(job.slot, answers[-1].index - job.call.index + max(1, answers[-1].count))

    def _send(self, job: Job, answers: Sequence[Answer], reply: str) -> None:
        """Publish answers in order; from the first large one on, behind a task that stores it."""
        for answer in answers:
            self.stats.answered(answer)
        if job.durable:
            job.tail = self._background.spawn(self._store(job.tail, job, answers))
            return
        for answer in answers:
            if job.tail is None and not spills(self._bus, answer.payload, self._limit(job)):
                send(self._bus, job.call.reply, answer.payload.body, answer.headers(), reply)
            else:
                job.tail = self._background.spawn(self._send_large(job.tail, job, answer, reply))

    async def _send_large(self, before: asyncio.Task[None] | None, job: Job, answer: Answer, reply: str) -> None:
        await _done(before)
        stowed = answer.copy(payload=await stow(self._bus, answer.payload, self._limit(job)))
        send(self._bus, job.call.reply, stowed.payload.body, stowed.headers(), reply)

    def _limit(self, job: Job) -> int:
        """A plain NATS client is spared the blob store as long as the server takes the message."""
        return self._bus.max_body if job.call.foreign else SPILL

    async def _settle_when_done(self, job: Job) -> None:
        try:
            await _done(job.given_back)
        except Error:  # what was cut off is in this message only
            self._settle(job, Verdict.NAK, delay=STORE_PAUSE)
            return
        try:
            await _done(job.tail)
        except Error as error:
            if job.durable:  # what is not stored is not done: it is done again
                self._settle(job, Verdict.NAK, delay=STORE_PAUSE)
                return
            refuse(self._bus, self._link.codecs, job.call, error)
        if job.refers:
            await let_go(self._bus, job.wire)
            with suppress(Error):  # the ack, which is sent again below, may do without an answer
                await self._outcomes.settle(job.call.call, job.token)
        self._settle(job)

    def _settle(self, job: Job, verdict: Verdict = Verdict.ACK, *, delay: float = 0.0) -> None:
        if job.token:
            self._bus.queues.settle(job.token, verdict, delay=delay)
        if job.noted or job.lost:
            self._background.spawn(self._starts.forget(job))
        self._settled.append(job)
        if len(self._settled) == 1:
            self._link.portal.loop.call_soon(self._forget)

    def _forget(self) -> None:
        """In one more turn, when the answers and the acks were written: a crash before that must find the records."""
        jobs, self._settled = self._settled, []
        self._link.portal.loop.call_soon(self._holder.forget, *jobs)


async def _done(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        await task
