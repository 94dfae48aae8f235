"""Notices that a worker's loop could not run for a while, whatever kept it: a body with the GIL, or a stopped process.

What arrives meanwhile lies unread, and its sender may have given us up when we come to it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from busfn.bus.base import Bus
from busfn.errors import Error
from busfn_services.worker.background import Background

EVERY = 0.5
"""Seconds between two beats."""
LATE = 0.5
"""Seconds by which a beat may be late on a machine that is merely busy."""


class Pulse:
    """Beats on the loop as long as that runs; from `start` on, loop thread only."""

    def __init__(self, bus: Bus, background: Background, on_held_up: Callable[[], None]) -> None:
        self._bus = bus
        self._background = background
        self._on_held_up = on_held_up
        self._due = float("inf")
        self._unread = 0.0
        self._held_ups = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to beat."""
        self._due = time.monotonic() + EVERY
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._beat)

    def unread(self) -> float:
        """Seconds for which what arrives now may have lain there at the most; 0 while the loop keeps up."""
        late = time.monotonic() - self._due
        if late > LATE:
            self._note(late)
        return self._unread

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        self.unread()
        self.start()

    def _note(self, late: float) -> None:
        self._due = time.monotonic() + EVERY
        self._held_ups += 1
        if not self._unread:
            self._background.spawn(self._catch_up())
        self._unread = max(self._unread, late + EVERY)
        self._on_held_up()

    async def _catch_up(self) -> None:
        """Until the bus answers: what it has sent before, we have read by then."""
        seen = -1
        while seen != self._held_ups:
            seen = self._held_ups
            with suppress(Error):  # with its connection, everything unread is gone
                await self._bus.flush()
        self._unread = 0.0
