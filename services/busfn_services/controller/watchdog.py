"""Notices a consumer that hands nothing out although there is work and there are takers. Pure.

Servers have had such states (nats-server issues 4736, 7680, 7984); making the consumer again mends them, and what the
stream holds stays.
"""

from __future__ import annotations

from dataclasses import dataclass

from busfn.bus.base import Lag

PATIENCE = 10.0
"""Seconds without a delivery after which a consumer with work and takers counts as stuck."""


@dataclass(slots=True)
class Watchdog:
    """One consumer over time; times are seconds of one monotonic clock."""

    _delivered: int = -1
    _since: float = 0.0
    _looked: float = 0.0

    def stuck(self, lag: Lag, now: float) -> bool:
        """Whether it has been stuck for long enough; said once, then the time starts anew."""
        idle = not lag.pending or not lag.waiting
        moved = lag.delivered != self._delivered
        unwatched = now - self._looked > PATIENCE  # nobody looked meanwhile, so we know of now only
        self._looked = now
        if idle or moved or unwatched or now < self._since:
            self._delivered, self._since = lag.delivered, now
            return False
        if now - self._since < PATIENCE:
            return False
        self._since = now
        return True
