"""When to try again to start workers that fail to start. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds between attempts, doubling from the first to the longest."""


@dataclass(slots=True)
class Backoff:
    """What is known of failed starts; times are seconds of one monotonic clock."""

    failures: int = 0
    reason: str = ""
    until: float = 0.0

    def failed(self, reason: str, now: float) -> None:
        """A worker failed to start. Several of one attempt count once."""
        self.reason = reason
        if now >= self.until:
            self.until = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures, 16))
            self.failures += 1

    def succeeded(self) -> None:
        """A worker has started."""
        self.failures, self.reason, self.until = 0, "", 0.0

    def pausing(self, now: float) -> bool:
        """Whether to wait before the next attempt."""
        return now < self.until
