"""How many workers a function should have. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from busfn.spec import Scaling


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


@dataclass(frozen=True, slots=True)
class Sample:
    """A function at one moment."""

    backlog: int
    """Messages that nobody has taken."""
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


def decide(sample: Sample, scaling: Scaling, cores: int) -> Decision:
    """Up at once to what is needed; down only workers that were idle for the whole window.

    The need is everything that waits or runs, and a worker while deliveries are adrift. Without ``max_containers`` the
    cap is the machine's cores, not counting workers that wait for nested calls: they use no core, and what they wait
    for may need one.
    """
    staying = [worker for worker in sample.workers if worker.phase is not Phase.LEAVING]
    waiting = sum(worker.waiting for worker in staying)
    need = max(sample.backlog + sum(worker.busy for worker in staying), int(sample.adrift))
    cap = cores + waiting if scaling.max_containers is None else scaling.max_containers
    wanted = max(scaling.min_containers, min(need + (scaling.buffer_containers if need else 0), cap))
    # Workers on their way out still hold memory and a core: a hard cap counts them, too.
    room = cap - len(sample.workers) if scaling.max_containers is not None else wanted
    if wanted >= len(staying):
        return Decision(start=max(0, min(wanted - len(staying), room)))
    ready = [worker for worker in staying if worker.phase is Phase.READY and not worker.busy]
    idle = [worker for worker in ready if worker.idle_for >= scaling.scaledown_window]
    idle.sort(key=lambda worker: -worker.idle_for)
    return Decision(stop=tuple(worker.name for worker in idle[: len(staying) - wanted]))
