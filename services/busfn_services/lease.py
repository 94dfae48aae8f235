"""Keeps what a process has claimed: the name of its app, or the note of a run that is an app of its own."""

from __future__ import annotations

import logging

from busfn.claims import CLAIM_TIME, Claims, Held
from busfn.concurrency.loops import Tasks, every
from busfn.errors import Error

RENEW_EVERY = CLAIM_TIME / 3
RENEW_ASIDE_EVERY = 300.0
"""Seconds between notes that a run with a token of its own is still there; no one competes for that."""

logger = logging.getLogger("busfn.host")


class Lease:
    """Renews a claim until it is left; use it with ``async with``."""

    def __init__(self, claims: Claims, held: Held) -> None:
        self._claims = claims
        self._held = held
        self._tasks = Tasks(logger)

    async def __aenter__(self) -> Lease:
        self._tasks.loop(self._keep(), "lease", self._held.app)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.cancel()
        try:
            await self._claims.give_back(self._held)
        except Error:  # it ends by itself
            return

    async def _keep(self) -> None:
        lost = False
        async for _ in every(RENEW_ASIDE_EVERY if self._held.aside else RENEW_EVERY, at_once=False):
            try:
                kept = await self._claims.renew(self._held)
            except Error:  # the bus is away: the next turn may reach it
                continue
            if not kept and not lost:
                logger.warning(
                    "while the bus was away the name of app %r was taken by others: both get its calls now",
                    self._held.app,
                )
            lost = not kept
