"""Workers as processes of this machine."""

from __future__ import annotations

import time

from busfn.spec import FunctionSpec
from busfn_services.controller.policy import Phase, WorkerView
from busfn_services.supervisor.supervisor import Supervisor
from busfn_services.supervisor.worker import State, Worker

_PHASES = {State.STARTING: Phase.STARTING, State.READY: Phase.READY}


class ProcessLauncher:
    """A `Launcher` over this machine's supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def workers(self, spec: FunctionSpec) -> tuple[WorkerView, ...]:
        now = time.monotonic()
        return tuple(_view(worker, now) for worker in self._supervisor.workers.values() if worker.spec is spec)

    def start(self, spec: FunctionSpec) -> None:
        self._supervisor.start(spec)

    def stop(self, name: str) -> None:
        worker = self._supervisor.workers.get(name)
        if worker is not None:
            worker.drain()


def _view(worker: Worker, now: float) -> WorkerView:
    if worker.state is State.GONE:
        return WorkerView(worker.name, Phase.LEAVING)
    idle_for = now - worker.idle_since if worker.idle_since else 0.0
    phase = _PHASES.get(worker.state, Phase.LEAVING)
    entries = [entry for _, entry in worker.table.entries()]
    held = sum(1 for entry in entries if entry.token)
    return WorkerView(worker.name, phase, bool(entries), worker.waiting, idle_for, held)
