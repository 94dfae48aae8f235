"""One controller of an environment leads: it alone scales. A lease in the table says which one."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

from busfn.bus.stores import Table
from busfn.errors import Error

KEY = "lead"
TERM = 3.0
"""Seconds after which the lease of a leader that is gone is free."""
RENEW_EVERY = 1.0
TRY_EVERY = 0.5
MARGIN = 0.5
"""Seconds before its lease ends, by its own clock, at which a leader stops to lead."""

logger = logging.getLogger("busfn.controller")


class Election:
    """Takes part, as long as its ``async with`` lasts."""

    def __init__(self, table: Table, on_change: Callable[[], None]) -> None:
        self._table = table
        self._on_change = on_change
        self._me = secrets.token_hex(8).encode()
        self._until = 0.0
        self._revision = 0
        self._task: asyncio.Task[None] | None = None
        self.epoch = 0
        """Grows with every change of leader; ours, while we lead."""

    @property
    def leading(self) -> bool:
        """Whether we lead now; false in time when the bus is away."""
        return time.monotonic() < self._until

    async def __aenter__(self) -> Election:
        self._task = asyncio.create_task(self._take_part())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.leading:
            self._until = 0.0
            try:
                await self._table.delete(KEY)
            except Error:  # it ends by itself
                return

    async def _take_part(self) -> None:
        while True:
            try:
                await self._turn()
            except Error as error:
                logger.info("no word from the table of leases: %s", error)
            await asyncio.sleep(RENEW_EVERY if self.leading else TRY_EVERY)

    async def _turn(self) -> None:
        began, led = time.monotonic(), self.leading
        if led:
            revision = await self._table.update(KEY, self._me, self._revision, ttl=TERM)
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
        if not await self._table.create(KEY, self._me, ttl=TERM):
            return None
        entry = await self._table.entry(KEY)
        if entry is None or entry.value != self._me:
            return None
        self.epoch = entry.revision
        return entry.revision
