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
SPARE = 2
"""So many times what was needed at most lately is enough: demand that comes by chance varies less than that."""


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
    """Inputs that it runs, if it is busy."""
    slots: int = 1
    """Inputs that it can run at once."""
    unstarted: int = 0
    """Messages that it has and did not start yet."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A function at one moment."""

    backlog: int | None
    """Messages, each of one or more inputs, that nobody has taken; None while that is unknown."""
    workers: tuple[WorkerView, ...] = ()
    unsettled: int = 0
    """Deliveries that were handed out and not settled."""
    most_needed: int | None = None
    """The highest `needed` of the last while, this moment included; None while that is unknown."""

    @property
    def adrift(self) -> int:
        """Deliveries that were handed out and that no worker has: one gave them back, or died with them.

        They come again only to a worker that asks, and the server does not count them as backlog.
        """
        return max(0, self.unsettled - sum(worker.held for worker in self.workers))

    @property
    def waiting(self) -> int | None:
        """Messages that a further worker could take: what nobody has taken, what is adrift, and what will be given
        back because it is behind a body that runs for long. None while the backlog is unknown."""
        if self.backlog is None:
            return None
        return self.backlog + self.adrift + sum(worker.unstarted for worker in self.workers if runs_long(worker))


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
    enough: int | None
    """With more, those that idle are stopped; None while nobody knows."""


def decide(sample: Sample | None, scaling: Scaling, cores: int) -> Decision:
    """Up at once to what is needed; down to that only workers that were idle for the whole window.

    Beyond twice what was needed at most lately, any worker that idles is stopped: an even load leaves none of them idle
    for long, for each in its turn gets a call.

    Without ``max_containers`` the cap is the machine's cores, not counting workers that wait for nested calls: they use
    no core, and what they wait for may need one. While the backlog is unknown the size is held.
    """
    if sample is None or sample.waiting is None:
        count = len(_staying(sample)) if sample is not None else None
        return Decision(reason="hold" if count is None else f"{_workers(count)}: hold, the backlog is unknown")
    staying = _staying(sample)
    cap = cores + sum(worker.waiting for worker in staying)
    if scaling.max_containers is not None:
        cap = scaling.max_containers
    sizes = _sizes(sample, sample.waiting, scaling, cores, cap)
    if sizes.start > len(staying):
        # Workers on their way out still hold memory and a core: a hard cap counts them, too.
        room = cap - len(sample.workers) if scaling.max_containers is not None else sizes.start
        start = max(0, min(sizes.start - len(staying), room))
        return Decision(start=start, reason=_reason(sample, len(staying) + start, "" if start else "hold, at the cap"))
    stop, why = _surplus(staying, sizes, scaling.scaledown_window)
    return Decision(stop=stop, reason=_reason(sample, len(staying) - len(stop), why))


def needed(sample: Sample, scaling: Scaling) -> int | None:
    """Workers that have all at hand run at once, at ``target_inputs`` each; None while the backlog is unknown."""
    if sample.waiting is None:
        return None
    tied, free = _load(sample, sample.waiting, scaling)
    return tied + math.ceil(free / scaling.target_inputs)


def full(sample: Sample, scaling: Scaling) -> bool:
    """Whether no worker can be added, whatever comes. A cap that follows the cores moves with workers that wait."""
    return scaling.max_containers is not None and len(sample.workers) >= scaling.max_containers


def runs_long(worker: WorkerView) -> bool:
    """Whether it will not be done soon: it waits for others, or an input has run for long."""
    return worker.busy and (worker.waiting or worker.running_for > HORIZON)


def _load(sample: Sample, waiting: int, scaling: Scaling) -> tuple[int, int]:
    """Workers that are tied, and the inputs that others have or should get."""
    busy = [(worker, _tied(worker, scaling.target_inputs)) for worker in _staying(sample) if worker.busy]
    return sum(tied for _, tied in busy), waiting + sum(worker.running for worker, tied in busy if not tied)


def _sizes(sample: Sample, waiting: int, scaling: Scaling, cores: int, cap: int) -> _Sizes:
    staying, window, buffer = _staying(sample), scaling.scaledown_window, scaling.buffer_containers
    tied, free = _load(sample, waiting, scaling)
    plain = needed(sample, scaling) or 0
    active = plain > 0 or any(_idle(worker) and worker.idle_for < window for worker in staying)
    need = min(plain, tied + _for_work(free, run_time(staying), scaling, cores))

    def clamped(size: int, spare: int) -> int:
        return max(scaling.min_containers, min(size + spare, cap))

    keep = clamped(plain, buffer if active else 0)
    most = sample.most_needed
    enough = None if most is None else max(keep, clamped(max(SPARE * most, int(active)), buffer if active else 0))
    return _Sizes(start=clamped(need, buffer if need else 0), keep=keep, enough=enough)


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
    """Whether it will not take another input soon: it has its share, or no slot left, and runs for long."""
    return worker.running >= min(target, worker.slots) and runs_long(worker)


def _staying(sample: Sample) -> list[WorkerView]:
    return [worker for worker in sample.workers if worker.phase is not Phase.LEAVING]


def _idle(worker: WorkerView) -> bool:
    return worker.phase is Phase.READY and not worker.busy


def _surplus(staying: Sequence[WorkerView], sizes: _Sizes, window: float) -> tuple[tuple[str, ...], str]:
    """Who is stopped, idle longest first, and why."""
    idle = sorted((worker for worker in staying if _idle(worker)), key=lambda worker: -worker.idle_for)
    expired = sum(worker.idle_for >= window for worker in idle)
    unused = max(0, min(expired, len(staying) - sizes.keep))
    unneeded = 0 if sizes.enough is None else max(0, min(len(idle), len(staying) - sizes.enough))
    names = tuple(worker.name for worker in idle[: max(unused, unneeded)])
    if unneeded > unused:
        return names, f"stop {len(names)} more than twice what was needed lately"
    if unused:
        return names, f"stop {len(names)} idle for {window:g} s"
    if len(staying) > sizes.keep:
        return (), f"hold, not idle for {window:g} s yet"
    return (), "hold" if staying else ""


def _reason(sample: Sample, count: int, action: str) -> str:
    run = run_time(sample.workers)
    facts = [action, f"backlog {sample.backlog}", f"busy {sum(worker.busy for worker in sample.workers)}"]
    facts.append("" if run is None else f"mean run {_duration(run)}")
    facts.append(f"{sample.adrift} given back" if sample.adrift else "")
    return f"{_workers(count)}: {', '.join(fact for fact in facts if fact)}"


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
