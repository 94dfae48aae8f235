"""busfn's own `decide` and `Backoff`, woken as the controller's pool is."""

from __future__ import annotations

import math
from dataclasses import replace

from bench.scaling.model import Event, Step, View
from busfn.spec import Scaling
from busfn_services.controller.backoff import Backoff
from busfn_services.controller.demand import Demand, span
from busfn_services.controller.policy import Phase, Sample, decide, needed
from busfn_services.controller.pool import IDLE_TICK, TICK

CORES = 4


class Busfn:
    """Looks at each event, and at each tick while there are workers or calls."""

    name = "busfn"
    grace = math.inf
    restarts = False

    def __init__(self, scaling: Scaling, cores: int = CORES, unknown: tuple[float, float] = (0.0, 0.0)) -> None:
        """From the first to the second moment of ``unknown`` the bus does not tell the backlog."""
        self._scaling = scaling
        self._cores = cores
        self._unknown = unknown
        self._backoff = Backoff()
        self._demand = Demand()

    def look(self, view: View) -> Step:
        """One look of the pool."""
        if view.event is Event.FAILED:
            self._backoff.failed("it fails to start", view.now)
        elif view.event is Event.READY:
            self._backoff.succeeded()
        held = sum(worker.held for worker in view.workers)
        backlog = None if self._unknown[0] <= view.now < self._unknown[1] else view.backlog
        sample = Sample(backlog, view.workers, held)
        most = self._demand.most(needed(sample, self._scaling), view.now, span(self._scaling.scaledown_window))
        decision = decide(replace(sample, most_needed=most), self._scaling, self._cores)
        starting = sum(worker.phase is Phase.STARTING for worker in view.workers)
        start = self._backoff.allowed(decision.start, starting, view.now)
        return Step(start, decision.stop, self._pause(view, start))

    def _pause(self, view: View, start: int) -> float | None:
        if view.lag:
            return TICK
        if not view.workers and not start:
            return None
        return min(IDLE_TICK, max(TICK, self._scaling.scaledown_window / 4))
