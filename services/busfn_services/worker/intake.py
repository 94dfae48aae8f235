"""The loop thread of a worker: takes messages, and decides whether a call is run here or handed on.

Whoever is in a function's queue group either runs a call or hands it on: a worker with room runs it, a full one puts it
into the overflow stream, from which workers pull as many as they have room for.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import cast

from busfn.bus.base import Delivery, Message, Puller, Subscription, Verdict
from busfn.errors import Error, ProtocolError, QueueFull
from busfn.invoke.link import Link
from busfn.invoke.payloads import fetch, let_go, withdraw
from busfn.protocol.control import Cancellation, read_control
from busfn.protocol.envelope import Call
from busfn.protocol.subjects import QUEUE_GROUP
from busfn.spec import FunctionSpec
from busfn.streams import consumers
from busfn_services.flight import RECORDS, Entry, FlightTable, Kind
from busfn_services.handon import admit, failure_answer, hand_on, refuse, unfit
from busfn_services.outcomes import Outcomes
from busfn_services.worker.background import Background
from busfn_services.worker.job import Job
from busfn_services.worker.limiter import FORESEEN, MOST_WORK, Limiter
from busfn_services.worker.mainloop import TIMEOUT_SIGNAL, Jobs
from busfn_services.worker.outbox import STORE_PAUSE, Outbox
from busfn_services.worker.outlet import Outlet

HEARING_EVERY = 1.0
CUT_AFTER = 0.050
"""Seconds after which a chunk gives away its unstarted inputs, so that short work is not trapped behind long."""


class Intake:
    """Takes messages for one function, and holds them until they are settled."""

    def __init__(self, link: Link, spec: FunctionSpec, table: FlightTable, jobs: Jobs, worker: str) -> None:
        self._link = link
        self._bus = link.bus
        self._spec = spec
        self._table = table
        self._jobs = jobs
        self._worker = worker
        self._outcomes = Outcomes(link, spec)
        self._limiter = Limiter(once=spec.single_use_containers)
        self._free = list(range(RECORDS))
        self._held: set[Job] = set()
        self._pullers: list[Puller] = []
        self._member: Subscription | None = None
        self._control: Subscription | None = None
        self._background = Background(link.portal.loop)
        self._foresight: asyncio.TimerHandle | None = None
        self.on_finished: Callable[[], None] | None = None
        """Called after every finished job."""
        self.outbox = Outbox(link, spec, table, worker, self._background, self)

    async def start(self) -> None:
        """Pull from both queues and join the queue group."""
        subjects, app, name = self._link.subjects, self._spec.app, self._spec.name
        for kind, consumer in zip((Kind.OVERFLOW, Kind.JOB), consumers(subjects, app, name), strict=True):
            handler = partial(self._on_delivery, kind)
            self._pullers.append(self._bus.queues.pull(consumer.stream, consumer.name, self._room, handler))
        self.note_hearing()
        self._control = await self._bus.subscribe(subjects.control(app, name), self._on_cancel)
        if not self._spec.single_use_containers:  # it takes one message, and the activator hands it on
            subject = subjects.function(app, name)
            self._member = await self._bus.subscribe(subject, self._on_direct, queue=QUEUE_GROUP)

    def note_hearing(self) -> None:
        """Let the supervisor see, once a second, when the bus last answered us: alive is not enough to be healthy."""
        if self._bus.connected:
            self._table.set_heard(min(puller.heard for puller in self._pullers))
        self._link.portal.loop.call_later(HEARING_EVERY, self.note_hearing)

    async def leave(self) -> None:
        """Take nothing more; on return everything that was taken is done and answered."""
        if self._member is not None:
            await self._member.leave()
        for puller in self._pullers:
            await puller.stop()
        if self._control is not None:
            await self._control.leave()
        while self._held or self._background.busy:
            self._background.changed.clear()
            await self._background.changed.wait()
        await self._bus.flush()

    def _on_direct(self, message: Message) -> None:
        call = admit(self._link, message, reply=message.reply)
        if call is None:
            return
        if self._limiter.room() > 0 and self._free:
            self._accept(call, Kind.DIRECT)
        else:
            self._background.spawn(hand_on(self._link, self._spec.app, self._spec.name, call))

    def _on_delivery(self, kind: Kind, delivery: Delivery) -> None:
        if self._room() <= 0 or not self._free:
            self._bus.queues.settle(delivery.token, Verdict.NAK)
            return
        call = admit(self._link, delivery.message, reply="", durable=kind is Kind.JOB)
        if call is None:
            self._turn_away(kind, delivery)
        elif (early := call.not_before / 1000 - time.time()) > 0:
            self._bus.queues.settle(delivery.token, Verdict.NAK, delay=early)
        else:
            self._accept(call, kind, delivery.token, delivery.sequence)

    def _turn_away(self, kind: Kind, delivery: Delivery) -> None:
        """What cannot be run is not lost without a trace when it was queued."""
        refusal = unfit(delivery.message) if kind is Kind.JOB else None
        if refusal is None:
            self._bus.queues.settle(delivery.token, Verdict.ACK)
        else:
            self._background.spawn(self._bury(delivery.token, *refusal))

    async def _bury(self, token: str, call: Call, error: Error) -> None:
        try:
            await self._outcomes.refuse(call, error)
            await let_go(self._bus, call)
            await self._outcomes.settle(call.call, token)
        except Error:
            self._bus.queues.settle(token, Verdict.NAK, delay=STORE_PAUSE)

    def _accept(self, call: Call, kind: Kind, token: str = "", sequence: int = 0) -> None:
        job = Job(call, kind, self._free[-1], token, sequence)
        try:
            self._table.fill(job.slot, _entry(job))
        except ValueError as error:
            if job.durable:
                self._background.spawn(self._bury(token, call, ProtocolError(str(error))))
                return
            refuse(self._bus, self._link.codecs, call, ProtocolError(str(error)))
            if token:
                self._bus.queues.settle(token, Verdict.ACK)
            return
        self._free.pop()
        self._held.add(job)
        if self._limiter.room() <= 0:  # taken ahead of its turn
            self._link.portal.loop.call_later(CUT_AFTER, self._return, job)
        self._limiter.take(job.inputs)
        self._look_ahead()
        if self._spec.is_generator:
            self._open_outlet(job)
        if self._spec.single_use_containers:
            self._cut(job, keep=1)
        elif call.count > 1:
            self._link.portal.loop.call_later(CUT_AFTER, self._cut, job)
        if call.payload.blob is not None:
            self._background.spawn(self._fetch(job))
        else:
            self._jobs.put(job)

    async def _fetch(self, job: Job) -> None:
        """Large arguments come from the blob store; when they are gone, the body never runs."""
        try:
            job.call = job.call.copy(payload=await fetch(self._bus, job.call.payload))
        except Error as error:
            low, high = job.call.select or (0, job.call.count)
            failure = failure_answer(self._link.codecs, job.call, job.call.index + low, error, high - low)
            self.outbox.send_now(job, [failure])
            return
        self._jobs.put(job)

    def _open_outlet(self, job: Job) -> None:
        outlet = job.outlet = Outlet(self._link.codecs, job.call, self._worker)

        def on_control(message: Message) -> None:
            control = read_control(message.headers)
            outlet.close() if control.cancel else outlet.granted(control.items, control.size)

        job.control = self._bus.channel(on_control)

    def caller_gone(self, call: str) -> None:
        """Take out of the queue, and out of what we hold, what a map wanted whose caller is gone."""
        for job in self._held:
            if job.call.call == call and (rest := job.cut()) is not None:
                self._limiter.shed(rest[1] - rest[0])
        self._withdraw(call)

    def _withdraw(self, call: str) -> None:
        self._background.spawn(withdraw(self._bus, self._link.subjects, self._spec.app, self._spec.name, call))

    def _on_cancel(self, message: Message) -> None:
        """Drop what a cancelled call has waiting here, and stop what runs."""
        cancellation = Cancellation.decode(message.body)
        ours = [job for job in self._held if job.call.call == cancellation.call]
        for job in ours:
            job.cancelled = True
            rest = job.cut()
            if rest is not None:
                self._limiter.shed(rest[1] - rest[0])
            signal.pthread_kill(cast(int, threading.main_thread().ident), TIMEOUT_SIGNAL)
        if ours:
            self._withdraw(cancellation.call)  # what we have put back since the caller did the same

    def _cut(self, job: Job, keep: int = 0) -> None:
        """Give the unstarted part of a slow chunk back to the queue, where other workers can take it."""
        if job not in self._held or not job.remaining:
            return
        rest = job.cut(keep)
        if rest is not None:
            self._limiter.shed(rest[1] - rest[0])
            job.given_back = self._background.spawn(self._give_back(job, rest))

    def _room(self) -> int:
        """Messages that may be pulled now."""
        return self._limiter.room() or self._limiter.ahead(self._work())

    def _work(self) -> float:
        """Seconds that what we hold will still take, as far as can be told."""
        now, mean = time.monotonic(), self._limiter.mean or 0.0
        return sum(job.work(mean, now) for job in self._held)

    def _look_ahead(self) -> None:
        """Ask for the next message shortly before its turn, so that it is here then."""
        if self._foresight is not None:
            self._foresight.cancel()
            self._foresight = None
        mean = self._limiter.mean
        if mean is None or mean > FORESEEN or not self._held:
            return
        early = self._work() - MOST_WORK
        if early <= 0:
            for puller in self._pullers:
                puller.wake()
        else:
            self._foresight = self._link.portal.loop.call_later(early, self._look_ahead)

    def _return(self, job: Job) -> None:
        """Let somebody else have a message that was taken ahead of its turn, which does not come."""
        if job not in self._held or job.remaining < job.inputs:
            return
        rest = job.cut()
        if rest is not None:
            job.returned = True
            self._limiter.shed(rest[1] - rest[0])
            self._bus.queues.settle(job.token, Verdict.NAK)
            self._table.clear(job.slot)  # nobody shall put it back again when we die

    async def _give_back(self, job: Job, rest: tuple[int, int]) -> None:
        try:
            await self.outbox.queue_further(job, job.wire.copy(select=rest), rest[0])
        except QueueFull:
            if job.cancelled:
                return
            if self._spec.single_use_containers or not job.restore(rest):
                raise
            self._limiter.shed(rest[0] - rest[1])  # they are ours again: the queue has no room for them
            self._link.portal.loop.call_later(STORE_PAUSE, self._cut, job)
        else:
            self._table.shortened(job.slot, rest[0])

    def ran(self, job: Job, mean: float) -> None:
        """The body is done with it; ``mean`` seconds an input."""
        self._limiter.observe(mean)
        self._table.measured(mean * job.inputs)

    def forget(self, job: Job) -> None:
        """It is settled, and everything of it was sent: make room for others."""
        self._table.clear(job.slot)
        self._free.append(job.slot)
        self._held.discard(job)
        self._limiter.release(job.inputs)
        if job.control is not None:
            job.control.close()
        self._background.changed.set()
        for puller in self._pullers:
            puller.wake()
        self._look_ahead()
        if self.on_finished is not None:
            self.on_finished()


def _entry(job: Job) -> Entry:
    call = job.call
    return Entry(
        kind=job.kind,
        foreign=call.foreign,
        call=call.call,
        first=call.index,
        crashes=call.crashes,
        sequence=job.sequence,
        token=job.token,
        reply=call.reply,
        cursor=job.begin,
        upto=job.begin,
        end=job.begin + job.inputs,
        accepted=time.monotonic(),
    )
