"""Pings the bus as long as a process takes calls, and tells from the answers how late what arrives is read.

A body that holds the GIL, a process that is stopped, a network that stalls: what was sent to us lies somewhere
meanwhile, and its sender may have given us up when we come to it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from busfn.bus.base import Bus
from busfn.concurrency.loops import Tasks, turns
from busfn.errors import Error

EVERY = 1.0
"""Seconds between pings."""
LATE = 0.5
"""Seconds by which a ping, or its answer, may be late on a machine that is merely busy."""

logger = logging.getLogger("busfn.pulse")


def nothing() -> None:
    """Nobody wants to know."""


class Pulse:
    """Use `start` and `stop` on the loop."""

    def __init__(
        self, bus: Bus, on_answer: Callable[[], None] = nothing, on_held_up: Callable[[], None] = nothing
    ) -> None:
        self._bus = bus
        self._on_answer = on_answer
        self._on_held_up = on_held_up
        self._answered = 0.0
        """When the last ping was sent that is answered: what the bus sent before it got it, we have read."""
        self._tasks = Tasks(logger)
        self._late = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ping, unless it does."""
        if self._task is None:
            self._answered = time.monotonic()
            self._task = self._tasks.loop(self._beat(), "pulse")

    def stop(self) -> None:
        """Ping no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def unread(self) -> float:
        """Seconds for which what is read now may have lain there, at the most."""
        return time.monotonic() - self._answered

    async def _beat(self) -> None:
        async for _ in turns(self._rest, within=EVERY):
            self._late = await self._ping()

    async def _ping(self) -> bool:
        """Tells whether the answer came late: then only the next one tells whether we have caught up."""
        sent = time.monotonic()
        try:
            await self._bus.flush()
        except Error:  # the time that passes says it
            return False
        self._answered = sent
        self._on_answer()
        return self.unread() > LATE

    async def _rest(self) -> None:
        if self._late:
            return
        due = time.monotonic() + EVERY
        await asyncio.sleep(EVERY)
        if time.monotonic() > due + LATE:
            self._on_held_up()
