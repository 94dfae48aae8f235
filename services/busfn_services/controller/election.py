"""One controller of an environment leads: it alone scales. A lease in the table says which one."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

from busfn.bus.stores import Table
from busfn.concurrency.loops import Tasks, turns
from busfn.errors import Error, ProtocolError
from busfn_services.leadership import KEY, LeaderLease, owner_of

TERM = 3.0
"""Seconds after which the lease of a leader that is gone is free."""
RENEW_EVERY = 1.0
TRY_EVERY = 0.5
STALE = 3 * TERM
"""Seconds without a renewal after which a lease that does not end is not believed."""
MARGIN = 0.5
"""Seconds before its lease ends, by its own clock, at which a leader stops to lead."""

logger = logging.getLogger("busfn.controller")


class Election:
    """Takes part, as long as its ``async with`` lasts."""

    def __init__(self, table: Table, on_change: Callable[[], None]) -> None:
        self._table = table
        self._on_change = on_change
        self._me = secrets.token_hex(8)
        self._until = 0.0
        self._revision = 0
        self._seen = 0
        """Revision of the lease of another one, and since when (monotonic seconds) it has been the last one."""
        self._seen_since = 0.0
        self._tasks = Tasks(logger)
        self.epoch = 0
        """Grows with every change of leader; ours, while we lead."""

    @property
    def leading(self) -> bool:
        """Whether we lead now; false in time when the bus is away."""
        return time.monotonic() < self._until

    async def __aenter__(self) -> Election:
        self._tasks.loop(self._take_part(), "election")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.cancel()
        if self.leading:
            self._until = 0.0
            try:
                await self._table.delete(KEY)
            except Error:  # it ends by itself
                return

    async def _take_part(self) -> None:
        async for _ in turns(self._pause, within=RENEW_EVERY):
            try:
                await self._turn()
            except Error as error:
                logger.info("no word from the table of leases: %s", error)

    async def _pause(self) -> None:
        await asyncio.sleep(RENEW_EVERY if self.leading else TRY_EVERY)

    async def _turn(self) -> None:
        began, led = time.monotonic(), self.leading
        if led:
            revision = await self._table.update(KEY, self._lease(self.epoch), self._revision, ttl=TERM)
        else:
            revision = await self._win()
        if revision is not None:
            self._revision, self._until = revision, began + TERM - MARGIN
        elif led:
            self._until = 0.0
        if self.leading != led:
            logger.info("this controller %s", "leads" if self.leading else "leads no more")
            self._on_change()

    async def _win(self) -> int | None:
        if not await self._table.create(KEY, self._lease(0), ttl=TERM) and not await self._take_over():
            return None
        entry = await self._table.entry(KEY)
        try:
            if entry is None or owner_of(entry) != (self._me, entry.revision):
                return None
        except ProtocolError:  # somebody has overwritten it
            return None
        self.epoch = entry.revision
        return entry.revision

    async def _take_over(self) -> bool:
        """A lease ends by itself. One that does not, and that its owner does not renew, was written by a stranger."""
        entry, now = await self._table.entry(KEY), time.monotonic()
        if entry is None or entry.revision != self._seen:
            self._seen, self._seen_since = entry.revision if entry else 0, now
            return False
        if now - self._seen_since < STALE:
            return False
        logger.warning("the lease of the leading controller was not renewed for %g s: taking it over", STALE)
        return await self._table.update(KEY, self._lease(0), entry.revision, ttl=TERM) is not None

    def _lease(self, epoch: int) -> bytes:
        return LeaderLease(owner=self._me, epoch=epoch).encode()
