"""The loop thread of a worker: takes messages, and decides whether a call is run here or handed on.

Whoever is in a function's queue group either runs a call or hands it on: a worker with room runs it, a full one puts it
into the overflow stream, from which workers pull as many as they have room for.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import cast

from busfn.bus.base import Delivery, Kept, Message, Puller, Subscription, Verdict
from busfn.errors import Error, InvalidError, ProtocolError
from busfn.invoke.delays import PUT_OFF
from busfn.invoke.link import Link, endless
from busfn.invoke.payloads import fetch, let_go, withdraw
from busfn.protocol.admission import Way
from busfn.protocol.control import Cancellation, read_control
from busfn.protocol.envelope import Call
from busfn.protocol.names import Target
from busfn.spec import FunctionSpec
from busfn.streams import consumers
from busfn_services.delays import put_off
from busfn_services.flight import Entry, FlightTable, Kind
from busfn_services.handon import RESENT_AFTER, admit, decline, failure_answer, hand_on, refuse, unfit
from busfn_services.outcomes import Outcomes
from busfn_services.pulse import Pulse
from busfn_services.worker.background import Background
from busfn_services.worker.forkguard import TIMEOUT_SIGNAL
from busfn_services.worker.holdings import Holdings
from busfn_services.worker.job import Job
from busfn_services.worker.limiter import Limiter
from busfn_services.worker.mainloop import Jobs
from busfn_services.worker.membership import Membership
from busfn_services.worker.outbox import STORE_PAUSE, Outbox
from busfn_services.worker.outlet import Outlet
from busfn_services.worker.relief import Relief
from busfn_services.worker.starts import Ruling, Starts, lost_hosts, may_be_lost

logger = logging.getLogger("busfn.worker")

WAYS = {Kind.DIRECT: Way.DIRECT, Kind.OVERFLOW: Way.OVERFLOW, Kind.JOB: Way.JOB}
MOST_OF_A_LEASE = 0.9
"""The part of its lease after which a delivery that lay unread is left to others."""
TURN_PAUSE = 1.0
"""Seconds between looks whether it is the turn of a message that may take its host down."""


class Intake:
    """Takes messages for one function, and holds them until they are settled."""

    def __init__(self, link: Link, spec: FunctionSpec, table: FlightTable, jobs: Jobs, worker: str, inbox: str) -> None:
        self._link = link
        self._bus = link.bus
        self._spec = spec
        self._table = table
        self._jobs = jobs
        self._worker = worker
        self._inbox = inbox
        self._outcomes = Outcomes(link, spec)
        self._held = Holdings(Limiter(once=spec.single_use_containers))
        self._pullers: list[Puller] = []
        self._membership = Membership(link.bus, link.subjects, spec, self._on_direct)
        self._control: Subscription | None = None
        self._background = Background(link.portal.loop)
        self._pulse = Pulse(link.bus, self._note_hearing, self._membership.held_up)
        self._asking = False
        self._foresight: asyncio.TimerHandle | None = None
        self.on_finished: Callable[[], None] | None = None
        """Called after every finished job."""
        self._starts = Starts(link.bus, link.subjects, spec)
        self.outbox = Outbox(link, spec, table, worker, self._background, self, self._starts)
        self._relief = Relief(link, spec, table, self._held, self.outbox, self._background, self._starts)

    async def start(self) -> None:
        """Pull from both queues and join the queue group."""
        subjects, app, name = self._link.subjects, self._spec.app, self._spec.name
        for kind, consumer in zip((Kind.OVERFLOW, Kind.JOB), consumers(subjects, app, name), strict=True):
            puller = self._bus.queues.pull(
                consumer,
                self._held.room,
                partial(self._on_delivery, kind, consumer.ack_wait),
                inbox=f"{self._inbox}.{kind.value}",
                done=partial(self._note_taken, kind),
            )
            self._pullers.append(puller)
        self._pulse.start()
        self._control = await self._bus.subscribe(subjects.control(app, name), self._on_cancel)
        if not self._spec.single_use_containers:  # it takes one message, and the activator hands it on
            await self._membership.join()

    def _note_hearing(self) -> None:
        """Let the supervisor see when the bus last answered us: alive is not enough to be healthy."""
        self._table.hears(min(puller.heard for puller in self._pullers), time.monotonic())

    async def leave(self) -> None:
        """Take nothing more; on return everything that was taken is done and answered."""
        await self._membership.leave()
        for puller in self._pullers:
            await puller.stop()
        if self._control is not None:
            await self._control.leave()
        while self._held or self._background.busy:
            self._background.changed.clear()
            await self._background.changed.wait()
        self._pulse.stop()
        await self._bus.flush()

    def _on_direct(self, message: Message) -> None:
        call = admit(self._link, message, Way.DIRECT, time.time())
        if call is None:
            return
        if self._pulse.unread() >= RESENT_AFTER and not call.foreign:
            decline(self._bus, call, self._worker)
        elif self._held.spare() > 0:
            self._accept(call, Kind.DIRECT)
        elif refusal := self._endless(call):
            refuse(self._bus, self._link.codecs, call, refusal)
        else:
            self._background.spawn(hand_on(self._link, self._spec.app, self._spec.name, call))

    def _on_delivery(self, kind: Kind, lease: float, delivery: Delivery) -> None:
        unread = self._pulse.unread()
        if unread > MOST_OF_A_LEASE * lease:
            return  # somebody else has it by now, or will when its lease is over
        now = time.time()
        call = admit(self._link, delivery.message, WAYS[kind], now)
        if call is None:
            self._turn_away(kind, delivery)
        elif kind is Kind.OVERFLOW and unread >= RESENT_AFTER and not call.foreign:
            # Its caller may never have heard that it is queued.
            decline(self._bus, call, self._worker, delivery.sequence)
            self._bus.queues.settle(delivery.token, Verdict.ACK)
        elif not self._held.bears():
            self._pass_on(call, kind, delivery)
        elif call.not_before and (early := call.not_before / 1000 - now) > 0:
            self._put_off(call, kind, delivery, early)
        else:
            turned_away = 1 if call.not_before else 0  # it came too early before
            again = may_be_lost(delivery.deliveries - turned_away, now - delivery.stored_at)
            self._accept(call, kind, delivery.token, delivery.sequence, again=again)

    def _endless(self, call: Call) -> Error | None:
        """Why no worker will ever have room for a call: all that there may be wait for it."""
        target = Target(self._spec.app, self._spec.name)
        return endless(target, call.path, self._spec.scaling.max_containers) if call.path else None

    def _pass_on(self, call: Call, kind: Kind, delivery: Delivery) -> None:
        """There is no room here for what was delivered."""
        refusal = self._endless(call)
        if refusal is None or not call.reply:
            self._refuse(kind, delivery)
            return
        refuse(self._bus, self._link.codecs, call, refusal)
        self._bus.queues.settle(delivery.token, Verdict.ACK)

    def _put_off(self, call: Call, kind: Kind, delivery: Delivery, early: float) -> None:
        """It came too early: soon the server hands it out again; what has much time must keep no worker."""
        if early > PUT_OFF:
            self._background.spawn(self._store_until_due(call, kind, delivery))
        else:
            self._refuse(kind, delivery, early)

    async def _store_until_due(self, call: Call, kind: Kind, delivery: Delivery) -> None:
        kept = Kept(delivery.sequence, delivery.message)
        try:
            await put_off(self._link, kind, self._spec.app, self._spec.name, call, kept)
        except Error:  # it is not lost: it comes again
            self._bus.queues.settle(delivery.token, Verdict.NAK, delay=PUT_OFF)
        else:
            self._bus.queues.settle(delivery.token, Verdict.ACK)

    def _refuse(self, kind: Kind, delivery: Delivery, delay: float = 0.0) -> None:
        """Let others have it. Noted before it is written, and written at once: should we die, the supervisor must not
        refuse it again, for somebody else may have it by then."""
        self._table.set_taken(kind, delivery.order)
        self._bus.queues.settle(delivery.token, Verdict.NAK, delay=delay)
        self._bus.write_out()

    def _note_taken(self, kind: Kind, delivery: Delivery) -> None:
        self._table.set_taken(kind, delivery.order)

    def _turn_away(self, kind: Kind, delivery: Delivery) -> None:
        """What cannot be run is not lost without a trace when it was queued."""
        refusal = unfit(delivery.message, time.time()) if kind is Kind.JOB else None
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

    def _accept(self, call: Call, kind: Kind, token: str = "", sequence: int = 0, *, again: bool = False) -> None:
        if self._spec.is_generator and (kind is Kind.JOB or call.count):
            self._refuse_kind(call, kind, token)
            return
        job = self._held.make(call, kind, token, sequence)
        job.suspect = kind is Kind.JOB and (again or call.crashes > 0)
        try:
            self._table.fill(job.slot, _entry(job))
        except ValueError as error:
            self._reject(job, ProtocolError(str(error)))
            return
        self._held.take(job)
        self._ask_for_more()
        self._relief.watch()
        if self._spec.is_generator:
            self._open_outlet(job)
        if self._spec.single_use_containers:
            self._relief.give_away(job, keep=1)
        if job.suspect or call.payload.blob is not None:
            self._background.spawn(self._prepare(job))
        else:
            self._jobs.put(job)

    def _refuse_kind(self, call: Call, kind: Kind, token: str) -> None:
        """Items of a generator go to a caller who takes them, not to a result."""
        error = InvalidError(f"{self._spec.label} is a generator function: it can only be called with `remote_gen`")
        if kind is Kind.JOB and not call.reply:
            self._background.spawn(self._bury(token, call, error))
            return
        refuse(self._bus, self._link.codecs, call, error)
        if token:
            self._bus.queues.settle(token, Verdict.ACK)

    def _reject(self, job: Job, error: Error) -> None:
        if job.durable:
            self._background.spawn(self._bury(job.token, job.call, error))
            return
        refuse(self._bus, self._link.codecs, job.call, error)
        if job.token:
            self._bus.queues.settle(job.token, Verdict.ACK)

    async def _prepare(self, job: Job) -> None:
        """See whether it may be run, and get large arguments from the blob store; when they are gone, it is not run."""
        failure: Error | None = None
        try:
            ruling = await self._starts.ruling(job)
            if ruling is Ruling.RUN:
                job.call = job.call.copy(payload=await fetch(self._bus, job.call.payload))
            elif ruling is Ruling.GIVE_UP:
                job.wire = job.wire.copy(crashes=job.lost)
                failure = lost_hosts(self._spec, job.lost)
        except Error as error:
            failure, ruling = error, Ruling.GIVE_UP
        if job.returned:
            self.forget(job)
        elif ruling is Ruling.WAIT:
            self._bus.queues.settle(job.token, Verdict.NAK, delay=TURN_PAUSE)
            self._link.portal.loop.call_soon(self.forget, job)
        elif ruling is Ruling.DIVIDE:
            self._relief.divide(job)
        elif failure is not None:
            self._fail(job, failure)
        else:
            self._jobs.put(job)

    def _fail(self, job: Job, error: Error) -> None:
        low, high = job.call.select or (0, job.call.count)
        answer = failure_answer(self._link.codecs, job.call, job.call.index + low, error, high - low)
        self.outbox.send_now(job, [answer])

    def _open_outlet(self, job: Job) -> None:
        outlet = job.outlet = Outlet(self._link.codecs, job.call, self._worker)

        def on_control(message: Message) -> None:
            try:
                control = read_control(message.headers)
            except ProtocolError as error:
                logger.debug("call %s: %s", job.call.call, error)
                return
            outlet.close() if control.cancel else outlet.granted(control.items, control.size)

        job.control = self._bus.channel(on_control)

    def caller_gone(self, call: str) -> None:
        """Take out of the queue, and out of what we hold, what a map wanted whose caller is gone."""
        for job in self._held:
            if job.call.call == call:
                self._held.cut(job)
        self._withdraw(call)

    def _withdraw(self, call: str) -> None:
        self._background.spawn(withdraw(self._bus, self._link.subjects, self._spec.app, self._spec.name, call))

    def _on_cancel(self, message: Message) -> None:
        """Drop what a cancelled call has waiting here, and stop what runs.

        Only durable calls are cancelled: whoever waits for an answer gets one.
        """
        try:
            cancellation = Cancellation.decode(message.body)
        except ProtocolError as error:
            logger.debug("%s: %s", message.subject, error)
            return
        ours = [job for job in self._held if job.durable and job.call.call == cancellation.call]
        for job in ours:
            job.cancelled = True
            self._held.cut(job)
            signal.pthread_kill(cast(int, threading.main_thread().ident), TIMEOUT_SIGNAL)
        if ours:
            self._withdraw(cancellation.call)  # what we have put back since the caller did the same

    def _look_ahead(self) -> None:
        """Ask for the next message shortly before its turn, so that it is here then."""
        if self._foresight is not None:
            self._foresight.cancel()
            self._foresight = None
        soon = self._held.soon()
        if soon is None:
            return
        if soon <= 0:
            for puller in self._pullers:
                puller.wake()
        else:
            self._foresight = self._link.portal.loop.call_later(soon, self._look_ahead)

    def ran(self, job: Job, mean: float) -> None:
        """The body is done with it; ``mean`` seconds an input, 0 when none was run."""
        self._held.ran(job, mean)
        if mean > 0:
            self._table.measured(mean * job.inputs)
        self._ask_for_more()

    def forget(self, *jobs: Job) -> None:
        """They are settled, and everything of them was sent."""
        for job in jobs:
            self._table.clear(job.slot)
            self._held.release(job)
            if job.control is not None:
                job.control.close()
        self._background.changed.set()
        self._ask_for_more()
        if self.on_finished is not None:
            self.on_finished()

    def _ask_for_more(self) -> None:
        """With the next turn of the loop: one look for all that is taken and done in this one."""
        if not self._asking:
            self._asking = True
            self._link.portal.loop.call_soon(self._ask)

    def _ask(self) -> None:
        self._asking = False
        for puller in self._pullers:
            puller.wake()
        self._look_ahead()


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
