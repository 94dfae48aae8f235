"""What a controller needs of whatever runs its workers."""

from __future__ import annotations

from typing import Protocol

from busfn.spec import FunctionSpec
from busfn_services.controller.policy import WorkerView


class Launcher(Protocol):
    """Starts and stops workers; nothing here waits."""

    @property
    def cores(self) -> int:
        """Of all machines together."""
        ...

    def workers(self, spec: FunctionSpec) -> tuple[WorkerView, ...]:
        """The function's workers as they are now, of all its versions."""
        ...

    def start(self, spec: FunctionSpec) -> None:
        """Start one more worker."""

    def stop(self, name: str) -> None:
        """Let a worker finish what it has and leave."""
