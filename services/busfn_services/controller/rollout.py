"""Replacing the workers of an older version. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from busfn.deployment import Strategy
from busfn_services.controller.policy import Phase, WorkerView


@dataclass(frozen=True, slots=True)
class Rollout:
    """What to do now, beside what the load asks for."""

    start: int = 0
    """Workers of the new version that there should be at least, while none is there."""
    stop: tuple[str, ...] = ()


def as_seen_by(version: int, workers: Sequence[WorkerView]) -> tuple[WorkerView, ...]:
    """The workers as scaling a version should see them: those of others are on their way out."""
    return tuple(w if w.version == version else replace(w, phase=Phase.LEAVING) for w in workers)


def roll(
    workers: Sequence[WorkerView], version: int, most: int | None, strategy: Strategy, *, broken: bool = False
) -> Rollout:
    """How to get from old workers to those of ``version``; ``most`` workers may there be in all.

    Rolling: as many new ones as old ones were busy, at least one, and the old ones go when all new ones are ready. When
    the cap leaves no room, an old one goes first. While new ones cannot start (``broken``), the old ones stay.
    """
    there = [worker for worker in workers if worker.phase is not Phase.LEAVING]
    stale = [worker for worker in there if worker.version != version]
    fresh = [worker for worker in there if worker.version == version]
    names = tuple(worker.name for worker in stale)
    if not stale or strategy == "recreate":
        return Rollout(stop=names)
    if fresh:
        all_ready = all(worker.phase is Phase.READY for worker in fresh)
        return Rollout(stop=names if all_ready else ())
    if broken:
        return Rollout()
    wanted = max(1, sum(worker.busy for worker in stale))
    if most is None:
        return Rollout(start=wanted)
    room = most - len(workers)
    return Rollout(start=min(wanted, room)) if room > 0 else Rollout(stop=(_idlest(stale),))


def _idlest(workers: Sequence[WorkerView]) -> str:
    return min(workers, key=lambda worker: (worker.busy, -worker.idle_for)).name
