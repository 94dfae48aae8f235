"""How many workers a function needed at most, lately. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from busfn.spec import DEFAULT_SCALEDOWN_WINDOW

GAP = 5.0
"""Seconds without a look after which nobody knows what was needed meanwhile."""


def span(scaledown_window: float) -> float:
    """Seconds that demand is watched: a short window has too few looks to go by."""
    return max(scaledown_window, DEFAULT_SCALEDOWN_WINDOW)


@dataclass(slots=True)
class Demand:
    """One function's demand over time; times are seconds of one monotonic clock."""

    _since: float | None = None
    _looked: float = 0.0
    _seconds: float = 0.0
    _peaks: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    """Falling, oldest first: what a later look exceeds is left out."""

    def most(self, needed: int | None, now: float, seconds: float) -> int | None:
        """The most workers that were needed at a look of the last ``seconds``, this one included.

        None while that is not known for all of them: the watch is too new, or was interrupted by a look that did not
        tell (``needed`` is None), by none for a while, or by a wish for more seconds than before.
        """
        if needed is None:
            self._since = None
            return None
        if self._since is None or now - self._looked > GAP or seconds > self._seconds:
            self._since = now
            self._peaks.clear()
        self._looked, self._seconds = now, seconds
        while self._peaks and self._peaks[-1][1] <= needed:
            self._peaks.pop()
        self._peaks.append((now, needed))
        while self._peaks[0][0] < now - seconds:
            self._peaks.popleft()
        return self._peaks[0][1] if now - self._since >= seconds else None
