"""KEDA and Knative as their documentation describes them, with their defaults. Pure, but for what they remember."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from bench.scaling.model import Event, Step, View
from busfn_services.controller.policy import Phase, WorkerView

KEDA_COOLDOWN = 300.0
"""Seconds from the last poll that saw work to zero: https://keda.sh/docs/latest/reference/scaledobject-spec/"""
POD_GRACE = 30.0
"""terminationGracePeriodSeconds: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination"""

HPA_SYNC = 15.0
"""Seconds between looks of the HorizontalPodAutoscaler, by which KEDA scales from one worker up.

This and the next four: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""
HPA_STABILIZATION = 300.0
"""Seconds whose highest recommendation a scale-in follows."""
HPA_TOLERANCE = 0.1
HPA_PODS = 4
HPA_FACTOR = 2
"""Up by so many pods, or by this factor, in 15 s: whichever gives more."""

KPA_STABLE = 60.0
"""Seconds.

This and the rest: https://knative.dev/docs/serving/autoscaling/kpa-specific/ and Knative's ``config-autoscaler``.
"""
KPA_PANIC = 6.0
"""Seconds: 10 % of the stable window."""
KPA_PANIC_THRESHOLD = 2.0
KPA_UTILISATION = 0.7
KPA_TICK = 2.0
KPA_SCALE_DOWN = 2.0
"""By which factor it goes down at most in one look."""
KPA_ZERO_GRACE = 30.0
KPA_DRAIN = 300.0
"""Seconds that a request may take, for which a leaving pod waits: ``revision-timeout-seconds``."""


class Keda:
    """The ``nats-jetstream`` scaler: lag = what waits + what runs, a worker for each ``threshold`` of it.

    KEDA itself only goes from zero to one and back, at its polls; the HorizontalPodAutoscaler does the rest.
    """

    grace = POD_GRACE
    restarts = True

    def __init__(self, poll: float, most: int, threshold: int = 1) -> None:
        self.name = f"KEDA, {poll:g} s"
        self._poll = poll
        self._most = most
        self._threshold = threshold
        self._next_poll = 0.0
        self._next_sync = HPA_SYNC
        self._active_at = -math.inf
        self._wished: deque[tuple[float, int]] = deque()

    def look(self, view: View) -> Step | None:
        """At its ticks, whichever comes first: a poll, or a sync of the HPA."""
        if view.event is not Event.TICK:
            return None
        size = size_before = len(view.staying)
        if view.now >= self._next_poll:
            self._next_poll = view.now + self._poll
            size = self._activated(view, size)
        if view.now >= self._next_sync:
            self._next_sync = view.now + HPA_SYNC
            if size:
                size = self._synced(view, size)
        pause = min(self._next_poll, self._next_sync) - view.now
        return Step(max(0, size - size_before), newest(view.staying, size_before - size), pause)

    def _activated(self, view: View, size: int) -> int:
        if view.lag > 0:
            self._active_at = view.now
            return max(1, size)
        return size if view.now - self._active_at < KEDA_COOLDOWN else 0

    def _synced(self, view: View, size: int) -> int:
        wish = math.ceil(view.lag / self._threshold)
        if abs(wish / size - 1) <= HPA_TOLERANCE:
            wish = size
        wish = min(max(1, wish), self._most)
        self._wished.append((view.now, wish))
        while self._wished[0][0] <= view.now - HPA_STABILIZATION:
            self._wished.popleft()
        if wish > size:
            return min(wish, max(size + HPA_PODS, size * HPA_FACTOR))
        return min(size, max(wish for _, wish in self._wished))


class Knative:
    """The KPA with one request at a time per pod: mean concurrency over a long window, or in panic over a short one."""

    name = "Knative KPA"
    grace = KPA_DRAIN
    restarts = True

    def __init__(self, most: int) -> None:
        self._most = most
        self._loads: deque[tuple[float, float]] = deque([(0.0, 0.0)])
        self._panic_at: float | None = None
        self._panic_size = 0
        self._idle_since: float | None = None

    def look(self, view: View) -> Step | None:
        """Every two seconds, and at once when a call comes and there are no workers: the activator says so."""
        poked = view.event is Event.ARRIVAL and not view.staying
        if view.event is not Event.TICK and not poked:
            return None
        size = len(view.staying)
        if poked:
            return Step(1, (), KPA_TICK)
        self._loads.append((view.now, view.load))
        while self._loads[0][0] < view.now - KPA_STABLE - KPA_TICK:
            self._loads.popleft()
        wish = min(self._wish(view), self._most)
        wish = self._not_yet_zero(view.now, wish, size)
        return Step(max(0, wish - size), newest(view.staying, size - wish), KPA_TICK)

    def _wish(self, view: View) -> int:
        ready = max(1, sum(worker.phase is Phase.READY for worker in view.staying))
        stable, panic = self._pods(view.now, KPA_STABLE), self._pods(view.now, KPA_PANIC)
        if panic / ready >= KPA_PANIC_THRESHOLD:
            self._panic_at = view.now
        elif self._panic_at is not None and view.now - self._panic_at > KPA_STABLE:
            self._panic_at, self._panic_size = None, 0
        wish = max(stable, math.floor(ready / KPA_SCALE_DOWN) if view.staying else 0)
        if self._panic_at is None:
            return wish
        self._panic_size = max(self._panic_size, wish, panic)
        return self._panic_size

    def _pods(self, now: float, window: float) -> int:
        """Pods for the mean concurrency of a window, as far as it has been watched."""
        since, before = next((at, load) for at, load in self._loads if at >= now - window)
        load = self._loads[-1][1] - before
        return math.ceil(load / (now - since) / KPA_UTILISATION) if now > since else 0

    def _not_yet_zero(self, now: float, wish: int, size: int) -> int:
        if wish or not size:
            self._idle_since = None
            return wish
        if self._idle_since is None:
            self._idle_since = now
        return 0 if now - self._idle_since >= KPA_ZERO_GRACE else 1


def newest(workers: Sequence[WorkerView], count: int) -> tuple[str, ...]:
    """Which pods a ReplicaSet takes away, busy or not: those that are not ready, then the newest.

    https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset
    """
    last_first = workers[::-1]
    order = sorted(last_first, key=lambda worker: worker.phase is Phase.READY)
    return tuple(worker.name for worker in order[: max(0, count)])
