"""What a controller tells of a function to whoever asks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from busfn.spec import FunctionSpec
from busfn_services.controller.policy import Phase, WorkerView


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionStatus:
    """A function at one moment."""

    app: str
    function: str
    version: int
    backlog: int
    """Messages that nobody has taken."""
    ready: int
    starting: int
    draining: int
    running: int
    """Workers that run something."""
    reason: str = ""
    """Why there are so many workers."""
    failure: str = ""
    """Why its workers do not start, when they do not."""

    @classmethod
    def of(
        cls, spec: FunctionSpec, backlog: int, workers: Sequence[WorkerView], reason: str, failure: str
    ) -> FunctionStatus:
        """From what a pool knows."""
        phases = [worker.phase for worker in workers]
        return cls(
            app=spec.app, function=spec.name, version=spec.version, backlog=backlog,
            ready=phases.count(Phase.READY), starting=phases.count(Phase.STARTING),
            draining=phases.count(Phase.LEAVING), running=sum(worker.busy for worker in workers),
            reason=reason, failure=failure,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
