"""How many workers a function should have. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from statistics import median_low

from busfn.spec import Scaling

HORIZON = 0.5
"""Seconds in which what waits should be worked off: more workers than that needs are not started."""


class Phase(Enum):
    """Where a worker is in its life, as far as scaling cares."""

    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker."""

    name: str
    phase: Phase
    busy: bool = False
    waiting: bool = False
    """All it does is wait for nested calls."""
    idle_for: float = 0.0
    """Seconds since it had nothing to do; 0 while it is busy."""
    held: int = 0
    """Deliveries that it has and did not settle yet."""
    version: int = 0
    """Of the deployment whose code it runs."""
    mean_run: float = 0.0
    """Seconds that a message takes it on average, with all its inputs; 0 before it has finished one."""
    running_for: float = 0.0
    """Seconds since the input that runs longest was started; 0 while none runs."""
    running: int = 1
    """Inputs that it runs while it is busy."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A function at one moment."""

    backlog: int | None
    """Messages, each of one or more inputs, that nobody has taken; None while that is unknown."""
    workers: tuple[WorkerView, ...] = ()
    unsettled: int = 0
    """Deliveries that were handed out and not settled."""

    @property
    def adrift(self) -> bool:
        """Whether deliveries are handed out that no worker has: one gave them back, for later, or died with them.

        They come again only to somebody who asks, and do not count as backlog.
        """
        return self.unsettled > sum(worker.held for worker in self.workers)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now."""

    start: int = 0
    stop: tuple[str, ...] = ()
    reason: str = field(default="", compare=False)
    """For people: what was decided, and from which numbers."""


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Between the two, the size is held: that is what keeps it from going up and down."""

    start: int
    """With fewer workers, some are started."""
    keep: int
    """With more, those that were idle for the whole window are stopped."""


def decide(sample: Sample | None, scaling: Scaling, cores: int) -> Decision:
    """Up at once to what is needed; down only workers that were idle for the whole window.

    Without ``max_containers`` the cap is the machine's cores, not counting workers that wait for nested calls: they use
    no core, and what they wait for may need one. While the backlog is unknown the size is held.
    """
    if sample is None or sample.backlog is None:
        count = len(_staying(sample)) if sample is not None else None
        return Decision(reason="hold" if count is None else f"{_workers(count)}: hold, the backlog is unknown")
    staying = _staying(sample)
    cap = cores + sum(worker.waiting for worker in staying)
    if scaling.max_containers is not None:
        cap = scaling.max_containers
    sizes = _sizes(sample, sample.backlog, scaling, cores, cap)
    if sizes.start > len(staying):
        # Workers on their way out still hold memory and a core: a hard cap counts them, too.
        room = cap - len(sample.workers) if scaling.max_containers is not None else sizes.start
        start = max(0, min(sizes.start - len(staying), room))
        return Decision(start=start, reason=_reason(sample, len(staying) + start, "" if start else "hold, at the cap"))
    stop = _expired(staying, scaling.scaledown_window)[: max(0, len(staying) - sizes.keep)]
    return Decision(stop=stop, reason=_reason(sample, len(staying) - len(stop), _why(staying, stop, sizes, scaling)))


def _sizes(sample: Sample, backlog: int, scaling: Scaling, cores: int, cap: int) -> _Sizes:
    staying = _staying(sample)
    busy = [worker for worker in staying if worker.busy]
    tied = [worker for worker in busy if _tied(worker, scaling.target_inputs)]
    free = backlog + sum(worker.running for worker in busy if worker not in tied)
    plain = max(len(tied) + math.ceil(free / scaling.target_inputs), int(sample.adrift))
    active = plain > 0 or any(_idle(worker) and worker.idle_for < scaling.scaledown_window for worker in staying)
    need = min(plain, max(len(tied) + _for_work(free, run_time(staying), scaling, cores), int(sample.adrift)))
    buffer = scaling.buffer_containers
    return _Sizes(
        start=max(scaling.min_containers, min(need + (buffer if need else 0), cap)),
        keep=max(scaling.min_containers, min(plain + (buffer if active else 0), cap)),
    )


def _for_work(load: int, run: float | None, scaling: Scaling, cores: int) -> int:
    """Workers that finish the load in time; while nobody knows how long a run takes, the cores find out."""
    if run is None:
        return cores
    return math.ceil(load * min(1.0, run / HORIZON) / scaling.target_inputs)


def run_time(workers: Sequence[WorkerView]) -> float | None:
    """Seconds that a message takes; None while nothing is known.

    What runs at least as long as it runs already. The median, for one body that hangs says nothing about the others.
    """
    known = [max(worker.mean_run, worker.running_for) for worker in workers if not worker.waiting]
    return median_low([seconds for seconds in known if seconds > 0] or [0.0]) or None


def _tied(worker: WorkerView, target: int) -> bool:
    """Whether it will not take another input soon: it has its share, and waits for others or runs for long."""
    return worker.running >= target and (worker.waiting or worker.running_for > HORIZON)


def _staying(sample: Sample) -> list[WorkerView]:
    return [worker for worker in sample.workers if worker.phase is not Phase.LEAVING]


def _idle(worker: WorkerView) -> bool:
    return worker.phase is Phase.READY and not worker.busy


def _expired(workers: Sequence[WorkerView], window: float) -> tuple[str, ...]:
    """Workers that were idle for the window, idle longest first."""
    idle = [worker for worker in workers if _idle(worker) and worker.idle_for >= window]
    idle.sort(key=lambda worker: -worker.idle_for)
    return tuple(worker.name for worker in idle)


def _why(staying: Sequence[WorkerView], stop: Sequence[str], sizes: _Sizes, scaling: Scaling) -> str:
    if stop:
        return f"stop {len(stop)} idle for {scaling.scaledown_window:g} s"
    if len(staying) > sizes.keep:
        return f"hold, not idle for {scaling.scaledown_window:g} s yet"
    return "hold" if staying else ""


def _reason(sample: Sample, count: int, action: str) -> str:
    run = run_time(sample.workers)
    facts = [action, f"backlog {sample.backlog}", f"busy {sum(worker.busy for worker in sample.workers)}"]
    facts.append("" if run is None else f"mean run {_duration(run)}")
    facts.append("deliveries are adrift" if sample.adrift else "")
    return f"{_workers(count)}: {', '.join(fact for fact in facts if fact)}"


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
