"""Gives away what a worker holds and has not started: to other workers through the queue, or back to its caller."""

from __future__ import annotations

import asyncio

from busfn.bus.base import Verdict
from busfn.errors import QueueFull
from busfn.invoke.link import Link
from busfn.spec import FunctionSpec
from busfn_services.flight import FlightTable, Kind
from busfn_services.handon import hand_on, send_back
from busfn_services.worker.background import Background
from busfn_services.worker.holdings import CUT_AFTER, Holdings
from busfn_services.worker.job import Job
from busfn_services.worker.outbox import Outbox
from busfn_services.worker.starts import Starts


class Relief:
    """Looks after what waits in one worker. Loop thread only."""

    def __init__(
        self,
        link: Link,
        spec: FunctionSpec,
        table: FlightTable,
        held: Holdings,
        outbox: Outbox,
        background: Background,
        starts: Starts,
    ) -> None:
        self._link = link
        self._bus = link.bus
        self._spec = spec
        self._table = table
        self._held = held
        self._outbox = outbox
        self._background = background
        self._starts = starts
        self._next: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Something was taken, and may have to wait."""
        if self._next is None:
            self._next = self._link.portal.loop.call_later(CUT_AFTER, self._look)

    def _look(self) -> None:
        """Let others have what waits here behind a body that takes longer than was foreseen."""
        self._next = None
        try:
            for job in self._held.trapped():
                self.give_away(job)
            for job in self._held:
                self._outbox.answer_ready(job)
        finally:  # whatever went wrong, there is a next look
            pause = self._held.next_look()
            if pause is not None:
                self._next = self._link.portal.loop.call_later(pause, self._look)

    def give_away(self, job: Job, keep: int = 0) -> None:
        """Give the unstarted inputs of a message back to the queue, or the whole message when none was started."""
        rest = self._held.cut(job, keep, offered=job.kind is Kind.JOB)
        if rest is None:
            return
        if rest[0] > job.begin:
            if job.kind is Kind.JOB:
                self._give_back(job, rest)
            else:
                send_back(self._bus, job.call.reply, job.call.call, job.call.index + rest[0], rest[1] - rest[0])
                self._table.shortened(job.slot, rest[0])
            return
        job.returned = True
        job.decided()
        if job.kind is Kind.DIRECT:
            self._background.spawn(self._hand_on(job))
            return
        self._bus.queues.settle(job.token, Verdict.NAK)
        # Nobody shall put it back again when we die, once that was written.
        self._link.portal.loop.call_soon(self._table.clear, job.slot)

    def divide(self, job: Job) -> None:
        """Queue the halves of a chunk, so that those of its inputs that are innocent get away from the one that is not.

        They count as lost before, and are run input by input.
        """
        rest = self._held.cut(job)
        if rest is not None:
            job.wire = job.wire.copy(crashes=max(1, job.wire.crashes))  # each is looked up when it comes
            low, middle, high = rest[0], sum(rest) // 2, rest[1]
            self._give_back(job, (middle, high))
            self._give_back(job, (low, middle))
        self._outbox.send_now(job, [])

    async def _hand_on(self, job: Job) -> None:
        await hand_on(self._link, self._spec.app, self._spec.name, job.wire)
        if job in self._held:
            self._table.clear(job.slot)

    def _give_back(self, job: Job, rest: tuple[int, int]) -> None:
        """Queue a part of a message for others; the message is not settled before that was done."""
        job.given_back = self._background.spawn(self._queue_part(job.given_back, job, rest))

    async def _queue_part(self, before: asyncio.Task[None] | None, job: Job, rest: tuple[int, int]) -> None:
        try:
            if before is not None:
                await before
            sequence = await self._outbox.queue_further(job, job.wire.copy(select=rest), rest[0])
            if job.lost:
                await self._starts.suspect(job.call.call, sequence)
        except QueueFull:
            if job.cancelled:
                return
            if self._spec.single_use_containers or not self._held.restore(job, rest):
                raise
        else:
            self._table.shortened(job.slot, rest[0])
        finally:
            job.decided()
