"""What a pool tells of its function. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from busfn.spec import FunctionSpec
from busfn.status import FunctionStatus
from busfn_services.controller.policy import Phase, WorkerView


def status_of(
    spec: FunctionSpec, backlog: int, workers: Sequence[WorkerView], reason: str, failure: str
) -> FunctionStatus:
    """A function as a pool sees it."""
    phases = [worker.phase for worker in workers]
    return FunctionStatus(
        app=spec.app,
        function=spec.name,
        version=spec.version,
        backlog=backlog,
        ready=phases.count(Phase.READY),
        starting=phases.count(Phase.STARTING),
        draining=phases.count(Phase.LEAVING),
        running=sum(worker.running for worker in workers if worker.busy),
        reason=reason,
        failure=failure,
    )
