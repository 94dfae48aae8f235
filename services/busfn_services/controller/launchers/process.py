"""Workers as processes of this machine."""

from __future__ import annotations

import os

from busfn.spec import FunctionSpec
from busfn_services.controller.policy import Phase, WorkerView
from busfn_services.supervisor.supervisor import Supervisor
from busfn_services.supervisor.worker import State, Worker

_PHASES = {State.STARTING: Phase.STARTING, State.READY: Phase.READY}


class ProcessLauncher:
    """A `Launcher` over this machine's supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    @property
    def cores(self) -> int:
        return len(os.sched_getaffinity(0))

    def workers(self, spec: FunctionSpec) -> tuple[WorkerView, ...]:
        return tuple(_view(worker) for worker in self._supervisor.workers.values() if worker.spec.label == spec.label)

    def start(self, spec: FunctionSpec) -> None:
        self._supervisor.start(spec)

    def stop(self, name: str) -> None:
        worker = self._supervisor.workers.get(name)
        if worker is not None:
            worker.drain()


def _view(worker: Worker) -> WorkerView:
    load = worker.load()
    return WorkerView(
        worker.name, _PHASES.get(worker.state, Phase.LEAVING), load.busy, load.waiting, load.idle_for, load.held,
        version=worker.spec.version, mean_run=load.mean_run, running_for=load.running_for,
        running=load.running, unstarted=load.unstarted,
    )  # fmt: skip
