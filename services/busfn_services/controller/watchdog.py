"""Notices a consumer that hands nothing out although there is work and there are takers, and one that has forgotten
messages that the stream still holds. Pure.

Servers have had such states (nats-server issues 4736, 7680, 7984; 2.15.1 after a filtered purge of other messages);
making the consumer again mends them, and what the stream holds stays.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from busfn.bus.base import Lag

PATIENCE = 10.0
"""Seconds without a delivery after which a consumer with work and takers counts as stuck."""

QUIET = 2.0
"""Seconds that a consumer has counted nothing after which the stream is asked what it holds, once or twice."""


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


@dataclass(slots=True)
class Audit:
    """Compares what a consumer counts with what its stream holds, when it has come to rest; times as above."""

    _delivered: int = 0
    _since: float | None = None
    """When the consumer was first seen at rest; None while it is not, and when that was looked into."""
    _left: frozenset[str] = frozenset()
    """What the stream held at the first look into it."""

    @property
    def open(self) -> bool:
        """Whether it is at rest, and that is still to be looked into."""
        return self._since is not None

    def due(self, lag: Lag, now: float) -> bool:
        """Whether to ask the stream now."""
        rests = not lag.pending and not lag.unsettled
        if not rests or lag.delivered != self._delivered:
            self._delivered, self._left = lag.delivered, frozenset()
            self._since = now if rests else None
            if not rests:
                self._delivered = -1  # when it comes to rest, that is news whatever was delivered
            return False
        return self._since is not None and now - self._since >= QUIET

    def forgotten(self, subjects: Collection[str], now: float) -> bool:
        """Whether the stream, which holds messages under these ``subjects``, held some of them at the look before, too.

        Then the consumer will never hand them out: all that it counts was nothing, and it did nothing, in between.
        """
        left, self._left = self._left & frozenset(subjects), frozenset(subjects)
        self._since = now if subjects and not left else None
        return bool(left)
