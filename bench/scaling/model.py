"""A function's queue and workers, simulated event by event: no clock, no process, no chance.

What all autoscalers share: a worker runs one call at a time, a free one takes what waits longest, and of several free
ones the one that asked first, as pull requests are served.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from bench.scaling.traces import Arrival, Trace
from busfn_services.controller.policy import Phase, WorkerView

START = 0.03
"""Seconds that a worker takes to start: a fork, imports and hooks."""


class Event(Enum):
    """What an autoscaler may look at."""

    TICK = "tick"
    """The pause that it asked for is over."""
    ARRIVAL = "arrival"
    FINISH = "finish"
    READY = "ready"
    FAILED = "failed"
    """A worker could not start."""


@dataclass(frozen=True, slots=True)
class View:
    """What an autoscaler sees at one moment."""

    now: float
    event: Event
    backlog: int
    workers: tuple[WorkerView, ...]
    """In the order in which they were started."""
    load: float
    """Seconds of calls that waited or ran until now, all summed up: its growth over time is the mean concurrency."""

    @property
    def lag(self) -> int:
        """Calls that wait or run."""
        return self.backlog + sum(worker.busy for worker in self.workers)

    @property
    def staying(self) -> tuple[WorkerView, ...]:
        """Workers that are not on their way out."""
        return tuple(worker for worker in self.workers if worker.phase is not Phase.LEAVING)


@dataclass(frozen=True, slots=True)
class Step:
    """What an autoscaler does."""

    start: int = 0
    stop: Sequence[str] = ()
    pause: float | None = None
    """Seconds until it looks again if nothing happens; None for never."""


class Autoscaler(Protocol):
    """Decides; one object for one simulation."""

    @property
    def name(self) -> str:
        """For the table."""
        ...

    @property
    def grace(self) -> float:
        """Seconds that a stopped worker gets for the call that it runs."""
        ...

    @property
    def restarts(self) -> bool:
        """Whether a worker that fails to start is started again by others, after pauses (`restart_pause`)."""
        ...

    def look(self, view: View) -> Step | None:
        """What to do; None when it does not look at such events."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one simulation gave."""

    waits: tuple[float, ...]
    """Seconds from arrival to the start of the body, for each call; of those that never ran, to the end."""
    worker_seconds: float
    flaps: int
    """Changes of direction: a start after a stop, or the other way round."""
    most: int
    """Workers at one moment, those on their way out included."""
    starts: int
    """Attempts to start a worker."""
    interrupted: int
    """Workers that were told to stop while they were busy."""
    killed: int
    """Those of them that did not finish in time: their calls run again."""
    empty_at: float
    """When the last worker had gone; infinite when some are left."""
    sizes: tuple[tuple[float, int], ...]
    """Workers that there are, or start, after each change."""


@dataclass(slots=True, eq=False)
class _Worker:
    name: str
    started: float
    phase: Phase = Phase.STARTING
    attempts: int = 1
    call: Arrival | None = None
    since: float = 0.0
    """When it took the call, or finished the last one."""
    runs: int = 0
    run_seconds: float = 0.0

    def view(self, now: float) -> WorkerView:
        busy, ready = self.call is not None, self.phase is not Phase.STARTING
        return WorkerView(
            self.name, self.phase, busy, idle_for=now - self.since if ready and not busy else 0.0, held=int(busy),
            mean_run=self.run_seconds / self.runs if self.runs else 0.0, running_for=now - self.since if busy else 0.0,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Kill:
    """The end of a worker's grace."""

    worker: _Worker


@dataclass(slots=True)
class _Totals:
    waits: list[float] = field(default_factory=list[float])
    worker_seconds: float = 0.0
    directions: list[int] = field(default_factory=list[int])
    most: int = 0
    starts: int = 0
    interrupted: int = 0
    killed: int = 0
    empty_at: float = math.inf
    sizes: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])


def simulate(trace: Trace, autoscaler: Autoscaler, start_time: float = START) -> Outcome:
    """Replay a trace; a worker takes ``start_time`` seconds to start."""
    return _Simulation(trace, autoscaler, start_time).run()


def restart_pause(attempts: int) -> float:
    """Seconds after which Kubernetes restarts a container that failed so many times.

    https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
    """
    return min(300.0, 10.0 * 2.0 ** (attempts - 1))


class _Simulation:
    def __init__(self, trace: Trace, autoscaler: Autoscaler, start_time: float) -> None:
        self._trace = trace
        self._autoscaler = autoscaler
        self._start_time = start_time
        self._now = 0.0
        self._load = 0.0
        self._queue: deque[Arrival] = deque()
        self._workers: dict[str, _Worker] = {}
        self._free: deque[_Worker] = deque()
        self._totals = _Totals()
        self._numbers = iter(range(1_000_000_000))
        self._events: list[tuple[float, int, Event, object]] = []
        self._tick = 0

    def run(self) -> Outcome:
        for arrival in self._trace.arrivals:
            self._at(arrival.at, Event.ARRIVAL, arrival)
        self._look(Event.TICK)
        while self._events and self._events[0][0] <= self._trace.seconds:
            at, number, event, subject = heapq.heappop(self._events)
            self._advance(at)
            news = self._happen(event, subject, number)
            if news is not None:
                self._dispatch()
                self._look(news)
        self._advance(self._trace.seconds)
        return self._outcome()

    def _at(self, at: float, event: Event, subject: object = None) -> int:
        number = next(self._numbers)
        heapq.heappush(self._events, (at, number, event, subject))
        return number

    def _advance(self, now: float) -> None:
        passed, self._now = now - self._now, now
        busy = sum(worker.call is not None for worker in self._workers.values())
        self._load += passed * (len(self._queue) + busy)
        self._totals.worker_seconds += passed * len(self._workers)

    def _happen(self, event: Event, subject: object, number: int) -> Event | None:
        """Tells what to look at: nothing, when it was meant for a worker that has gone, or is an older tick."""
        if isinstance(subject, Arrival):
            self._queue.append(subject)
        elif isinstance(subject, _Worker):
            if self._workers.get(subject.name) is not subject:
                return None
            if event is Event.READY:
                return self._up(subject)
            self._finish(subject)
        elif isinstance(subject, _Kill):
            return self._kill(subject.worker)
        elif number != self._tick:
            return None
        return event

    def _up(self, worker: _Worker) -> Event:
        if self._now >= self._trace.broken_until:
            worker.phase, worker.since = Phase.READY, self._now
            self._free.append(worker)
            return Event.READY
        if self._autoscaler.restarts:
            self._at(self._now + restart_pause(worker.attempts) + self._start_time, Event.READY, worker)
            worker.attempts += 1
            self._totals.starts += 1
        else:
            self._gone(worker)
        return Event.FAILED

    def _finish(self, worker: _Worker) -> None:
        worker.runs, worker.run_seconds = worker.runs + 1, worker.run_seconds + self._now - worker.since
        worker.call, worker.since = None, self._now
        if worker.phase is Phase.LEAVING:
            self._gone(worker)
        else:
            self._free.append(worker)

    def _kill(self, worker: _Worker) -> Event | None:
        if worker.name not in self._workers or worker.call is None:
            return None
        self._queue.appendleft(worker.call)
        self._totals.killed += 1
        self._gone(worker)
        return Event.FINISH

    def _dispatch(self) -> None:
        while self._queue and self._free:
            worker, call = self._free.popleft(), self._queue.popleft()
            worker.call, worker.since = call, self._now
            self._totals.waits.append(self._now - call.at)
            self._at(self._now + call.run, Event.FINISH, worker)

    def _look(self, event: Event) -> None:
        workers = tuple(worker.view(self._now) for worker in self._workers.values())
        step = self._autoscaler.look(View(self._now, event, len(self._queue), workers, self._load))
        if step is None:
            return
        for name in step.stop:
            self._stop(self._workers[name])
        for _ in range(step.start):
            self._start()
        if step.start or step.stop:
            self._totals.directions.append(1 if step.start else -1)
            staying = sum(worker.phase is not Phase.LEAVING for worker in self._workers.values())
            self._totals.sizes.append((self._now, staying))
        self._totals.most = max(self._totals.most, len(self._workers))
        self._tick = self._at(self._now + step.pause, Event.TICK) if step.pause is not None else -1

    def _start(self) -> None:
        worker = _Worker(f"w{next(self._numbers)}", self._now)
        self._workers[worker.name] = worker
        self._totals.starts += 1
        self._totals.empty_at = math.inf
        self._at(self._now + self._start_time, Event.READY, worker)

    def _stop(self, worker: _Worker) -> None:
        if worker.call is None:
            self._gone(worker)
            return
        worker.phase = Phase.LEAVING
        self._totals.interrupted += 1
        if math.isfinite(self._autoscaler.grace):
            self._at(self._now + self._autoscaler.grace, Event.FINISH, _Kill(worker))

    def _gone(self, worker: _Worker) -> None:
        del self._workers[worker.name]
        if worker in self._free:
            self._free.remove(worker)
        if not self._workers:
            self._totals.empty_at = self._now

    def _outcome(self) -> Outcome:
        totals = self._totals
        waiting = [self._now - call.at for call in self._queue]
        turns = sum(one != other for one, other in zip(totals.directions, totals.directions[1:], strict=False))
        return Outcome(
            (*totals.waits, *waiting), totals.worker_seconds, turns, totals.most, totals.starts, totals.interrupted,
            totals.killed, totals.empty_at, tuple(totals.sizes),
        )  # fmt: skip
