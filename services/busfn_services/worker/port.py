"""The loop thread, as the main thread sees it."""

from __future__ import annotations

from typing import Protocol

from busfn.protocol.envelope import Answer
from busfn_services.worker.job import Job
from busfn_services.worker.outlet import Outlet


class Port(Protocol):
    """Callable from the main thread; nothing here blocks, but for the start of what may take its host down."""

    def started(self, job: Job, upto: int) -> None:
        """Inputs before the offset ``upto`` are started now: the in-flight table shall show it, and for a suspect the
        bus."""

    def ended(self, job: Job) -> None:
        """What was started has ended."""

    def answer(self, job: Job, *answers: Answer) -> None:
        """Send answers, or store them when the job is durable."""

    def retry(self, job: Job, offset: int, delay: float) -> None:
        """Queue a failed input again, to be run after ``delay`` seconds."""

    def stream(self, job: Job, outlet: Outlet, last: Answer | None = None) -> None:
        """Send what the outlet has, then the last frame if it is known."""

    def finish(self, job: Job, mean: float, *answers: Answer) -> None:
        """The job is done, but for its last answers; ``mean`` seconds an input, 0 when none was run."""
