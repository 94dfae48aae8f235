"""One function and its workers: look, decide, act, and sleep until something changes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace

from busfn.bus.base import ConsumerSpec, Lag
from busfn.concurrency.loops import Tasks, isolated, turns
from busfn.errors import Error, NotFoundError, ServiceError
from busfn.protocol.control import StartFailure
from busfn.status import FunctionStatus
from busfn.streams import consumers
from busfn_services.controller.activator import Activator
from busfn_services.controller.backoff import Backoff
from busfn_services.controller.demand import Demand, span
from busfn_services.controller.ear import Ear
from busfn_services.controller.launchers.base import Launcher
from busfn_services.controller.policy import Decision, Phase, Sample, WorkerView, decide, full, needed
from busfn_services.controller.rollout import Rollout, as_seen_by, roll
from busfn_services.controller.status import status_of
from busfn_services.controller.wanted import Served
from busfn_services.controller.watchdog import Audit, Watchdog
from busfn_services.handon import Context
from busfn_services.pulse import Pulse
from busfn_services.reports import Trouble, shorten

TICK = 0.25
"""Seconds between looks at a function that has work."""
IDLE_TICK = 1.0
"""Seconds between looks at one whose workers idle; one without workers is not looked at."""

REST = 0.025
"""Seconds between two looks, at the least, while workers serve: one that may grow is told of every message."""

JUST = 2 * IDLE_TICK
"""Seconds for which a worker that idles counts as one that has worked just now."""

TELL_EVERY = 1.0
"""Seconds between words to those who wait for calls of a function whose workers do not start."""

AWAKE = 1.0
"""Seconds of looking after a wake-up: a server tells of a stored message a moment before it counts it."""

logger = logging.getLogger("busfn.controller")


class Pool:
    """Keeps a function answered: by its workers, or by the activator until there are some.

    Only while ``leads()`` it starts and stops workers; else it just stands in for them.
    """

    def __init__(
        self, context: Context, served: Served, launcher: Launcher, leads: Callable[[], bool], pulse: Pulse
    ) -> None:
        self._bus = context.bus
        self._served: Served = served
        self._spec = served.spec
        self._launcher = launcher
        self._leads = leads
        found = consumers(context.subjects, served.spec.app, served.spec.name)
        self._consumers = {consumer: (Watchdog(), Audit()) for consumer in found}
        self._woken = asyncio.Event()
        self._woken_at = 0.0
        self._ear = Ear(context.bus, context.subjects.wakes(served.spec.app, served.spec.name), self._woken.set)
        self._activator = Activator(context, served.spec, pulse, self._woken.set)
        self._backoff = Backoff()
        self._down = context.subjects.down(served.spec.app, served.spec.name)
        self._told = 0.0
        """When (monotonic seconds) waiters were last told that workers do not start."""
        self._demand = Demand()
        self._reason = ""
        self._waiting = 0
        """Messages that waited at the last look."""
        self.busy = False
        """At the last look it had something to do, or has had just before."""
        self._began = 0.0
        self._look_again: float | None = TICK
        """Seconds until the next look; None for when something happens."""
        self._tasks = Tasks(logger)

    @property
    def consumers(self) -> Collection[ConsumerSpec]:
        """What its workers pull from."""
        return self._consumers

    @property
    def version(self) -> int:
        """Of the deployment that is served."""
        return self._spec.version

    async def open(self) -> None:
        """On return every call to the function will be answered."""
        for consumer in self._consumers:
            await self._bus.queues.ensure_consumer(consumer)
        await self._ear.open()
        await self._activator.join()
        self._woken.set()
        self._tasks.loop(self._run(), "pool", self._spec.label)

    async def close(self) -> None:
        """Start no more workers and take no more calls."""
        await self._tasks.cancel()
        await self._ear.close()
        await self._activator.close()

    def serve(self, served: Served) -> None:
        """Serve this from now on: a new version, or other settings."""
        if served != self._served:
            if served.spec.version != self._spec.version:
                self._backoff.succeeded()
            self._served = served
            self._spec = served.spec
            self._woken.set()

    def dismiss(self) -> None:
        """Let all workers finish what they have and leave."""
        for worker in self._launcher.workers(self._spec):
            self._launcher.stop(worker.name)

    def wake(self) -> None:
        """Something changed: look now."""
        self._woken.set()

    def cover(self) -> None:
        """A worker does not hear calls while it runs something: take them for all workers, for a while."""
        self._activator.cover()

    def failed(self, reason: str) -> None:
        """A worker could not start."""
        self._backoff.failed(reason, time.monotonic())
        self._woken.set()

    def ready(self) -> None:
        """A worker has started."""
        self._backoff.succeeded()
        self._woken.set()

    def trouble(self) -> Trouble | None:
        """What keeps its workers from starting, after the first pause for that; None while they start."""
        if self._backoff.failures < 2:
            return None
        return Trouble(
            app=self._spec.app, version=self._spec.version, function=self._spec.name, failures=self._backoff.failures,
            waiting=self._waiting, text=shorten(self._backoff.reason),
        )  # fmt: skip

    async def status(self) -> FunctionStatus:
        """The function as it is now."""
        backlog, _ = await self._lag()
        workers = self._launcher.workers(self._spec)
        return status_of(self._spec, backlog, workers, self._reason, self._backoff.reason)

    async def _run(self) -> None:
        async for _ in turns(self._rest):
            self._woken.clear()
            self._began, self._look_again = time.monotonic(), TICK
            with isolated(self._spec.label):  # the other functions are served
                try:
                    self._look_again = await self._step()
                except Error as error:  # the bus is away: hold the size and look again
                    logger.warning("%s: %s", self._spec.label, error)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._look_again):
                await self._woken.wait()
                self._woken_at = time.monotonic()
        except TimeoutError:
            return
        if not self._activator.joined or self._activator.covering:
            await asyncio.sleep(self._began + REST - time.monotonic())

    async def _step(self) -> float | None:
        """One look; tells in how many seconds to look again, None for when something happens."""
        workers = self._launcher.workers(self._spec)
        await self._stand_in(workers)
        refusing = await self._refuse_while_broken(workers)
        if refusing:
            return TICK  # when the pause is over, what waits gets another try
        if not self._leads():
            await self._listen(needless=False)
            return None
        backlog, unsettled = await self._lag()
        workers = self._launcher.workers(self._spec)
        sample = self._watched(Sample(backlog, as_seen_by(self._spec.version, workers), unsettled))
        decision = decide(sample, self._spec.scaling, self._launcher.cores)
        self._reason = decision.reason
        self.busy = bool(backlog or unsettled) or any(one.busy or one.idle_for < JUST for one in sample.workers)
        await self._apply(workers, decision, self._rollout(workers))
        await self._listen(needless=full(sample, self._spec.scaling))
        return self._pause(sample)

    async def _listen(self, *, needless: bool) -> None:
        """Hear of what is queued unless that is needless: then a busy function's messages are no work for us."""
        if needless:
            await self._ear.close()
        elif await self._ear.open():
            self._woken.set()  # look again: what has come before we listened has told us nothing

    def _watched(self, sample: Sample) -> Sample:
        scaling = self._spec.scaling
        most = self._demand.most(needed(sample, scaling), time.monotonic(), span(scaling.scaledown_window))
        return replace(sample, most_needed=most)

    def _rollout(self, workers: tuple[WorkerView, ...]) -> Rollout:
        most, broken = self._spec.scaling.max_containers, self._backoff.failures > 0
        return roll(workers, self._spec.version, most, self._served.strategy, broken=broken)

    def _pause(self, sample: Sample) -> float | None:
        woken_lately = time.monotonic() - self._woken_at < AWAKE
        if woken_lately or sample.waiting or any(worker.busy for worker in sample.workers):
            return TICK
        if not sample.workers and not self._spec.scaling.min_containers:
            return IDLE_TICK if any(audit.open for _, audit in self._consumers.values()) else None
        return min(IDLE_TICK, max(TICK, self._spec.scaling.scaledown_window / 4))

    async def _stand_in(self, workers: tuple[WorkerView, ...]) -> None:
        """The activator is a member whenever no worker is; a worker that serves a single input never is one."""
        if _ready(workers) and not self._spec.single_use_containers and not self._activator.covering:
            await self._activator.leave()
        else:
            await self._activator.join()

    async def _refuse_while_broken(self, workers: tuple[WorkerView, ...]) -> bool:
        pausing = self._backoff.pausing(time.monotonic())
        if pausing and not _ready(workers):
            reason = f"{self._spec.label} cannot be served, because its worker failed to start:\n{self._backoff.reason}"
            await self._activator.refuse(ServiceError(reason))
            self._tell_waiters()
            return True
        await self._activator.accept()
        return pausing

    def _tell_waiters(self) -> None:
        """Durable calls are not refused, they wait; but those who wait for them are told why."""
        now = time.monotonic()
        if (trouble := self.trouble()) is not None and self._leads() and now - self._told >= TELL_EVERY:
            self._told = now
            failure = StartFailure(failures=trouble.failures, text=trouble.text)
            self._bus.publish(self._down, failure.encode())

    async def _lag(self) -> tuple[int, int]:
        lags = [await self._look_at(consumer, *watch) for consumer, watch in self._consumers.items()]
        self._waiting = sum(lag.pending + lag.unsettled for lag in lags)
        return sum(lag.pending for lag in lags), sum(lag.unsettled for lag in lags)

    async def _look_at(self, consumer: ConsumerSpec, watchdog: Watchdog, audit: Audit) -> Lag:
        """What waits in a consumer; one that somebody has deleted, or that does not do its work, is made again."""
        queues, now = self._bus.queues, time.monotonic()
        try:
            lag = await queues.lag(consumer.stream, consumer.name)
        except NotFoundError:
            logger.warning("%s: consumer %s was deleted; it is made again", self._spec.label, consumer.name)
            await queues.ensure_consumer(consumer)
            return await queues.lag(consumer.stream, consumer.name)
        if watchdog.stuck(lag, now) and self._leads():
            logger.warning(
                "%s: consumer %s on %s has %d messages, %d pulls wait, and none is delivered; it is made again",
                self._spec.label, consumer.name, consumer.stream, lag.pending, lag.waiting,
            )  # fmt: skip
            await self._make_again(consumer)
        elif audit.due(lag, now) and self._leads() and await self._forgets(consumer, audit, lag):
            logger.warning(
                "%s: consumer %s on %s has forgotten messages that are stored; it is made again",
                self._spec.label, consumer.name, consumer.stream,
            )  # fmt: skip
            await self._make_again(consumer)
            return await queues.lag(consumer.stream, consumer.name)
        return lag

    async def _forgets(self, consumer: ConsumerSpec, audit: Audit, lag: Lag) -> bool:
        """Whether messages are stored that it will never hand out. While a worker runs something, they may be its."""
        if any(worker.busy for worker in self._launcher.workers(self._spec)):
            return False
        queues = self._bus.queues
        subjects = await queues.subjects(consumer.stream, consumer.subject)
        if not audit.forgotten(subjects, time.monotonic()):
            return False
        last = await queues.lag(consumer.stream, consumer.name)
        return not last.pending and not last.unsettled and last.delivered == lag.delivered

    async def _make_again(self, consumer: ConsumerSpec) -> None:
        await self._bus.queues.delete_consumer(consumer.stream, consumer.name)
        await self._bus.queues.ensure_consumer(consumer)

    async def _apply(self, workers: tuple[WorkerView, ...], decision: Decision, rollout: Rollout) -> None:
        starting = sum(worker.phase is Phase.STARTING for worker in workers)
        self._start(self._backoff.allowed(max(decision.start, rollout.start), starting, time.monotonic()))
        going = (*decision.stop, *rollout.stop)
        if going and not _ready(tuple(worker for worker in workers if worker.name not in going)):
            await self._activator.join()
        for name in going:
            self._launcher.stop(name)

    def _start(self, count: int) -> None:
        """Start workers; where the machine has no means for another one, that counts as a failed start."""
        try:
            for _ in range(count):
                self._launcher.start(self._spec)
        except (Error, OSError) as error:
            self.failed(str(error))


def _ready(workers: tuple[WorkerView, ...]) -> bool:
    return any(worker.phase is Phase.READY for worker in workers)
