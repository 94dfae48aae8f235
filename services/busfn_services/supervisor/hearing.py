"""Notices a worker that lives and does not hear the bus any more, whatever blocks it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

PATIENCE = 15.0
"""Seconds of deafness after which an idle worker is replaced."""
LONGEST_STEP = 1.0
"""Seconds between two looks that count at most: we may have been stopped together with all our workers."""


@dataclass(slots=True)
class Hearing:
    """One worker over time; times are seconds of one monotonic clock."""

    _pinged: float = 0.0
    _looked: float = 0.0
    _quiet: float = 0.0

    def deaf(self, pinged: float, now: float, *, bus_answers: bool) -> bool:
        """Whether the worker has been deaf for long enough to be replaced.

        ``pinged`` is when a ping of it was last answered. While the bus does not answer us, either, nobody is to blame.
        """
        step, self._looked = min(now - self._looked, LONGEST_STEP), now
        if not pinged or pinged != self._pinged or not bus_answers:
            self._pinged, self._quiet = pinged, 0.0
            return False
        self._quiet += step
        return self._quiet >= PATIENCE
