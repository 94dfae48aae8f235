"""What a worker counts."""

from __future__ import annotations

from dataclasses import dataclass

from busfn.protocol.envelope import Answer, Status


@dataclass(slots=True)
class Stats:
    """Totals since the worker started; inputs, not messages."""

    requests: int = 0
    errors: int = 0
    last_error: str = ""
    seconds: float = 0.0

    def answered(self, answer: Answer) -> None:
        """Count an answer that is about to leave."""
        inputs = max(1, answer.count)
        if answer.status is Status.ERROR:
            self.errors += inputs
            self.last_error = f"{answer.code}:{answer.text}"
        if answer.status is not Status.ITEM:
            self.requests += inputs
