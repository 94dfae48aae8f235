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

    def allowed(self, wanted: int, starting: int, now: float) -> int:
        """How many of the workers that are wanted may be started, while some are starting already.

        None in a pause, and after a failure one at a time: it finds out for all.
        """
        if self.pausing(now):
            return 0
        return min(wanted, max(0, 1 - starting)) if self.failures else wanted
