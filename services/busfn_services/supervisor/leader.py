"""Which controller leads, as a host believes it: what the lease says, not what a command claims."""

from __future__ import annotations

import asyncio

from busfn.bus.stores import Table
from busfn.errors import Error
from busfn_services.leadership import KEY, owner_of

LOOKS = 4
MAX_ASKING = 32
"""Claims that are looked into at a time."""
PAUSE = 0.05
"""Seconds between looks: a server that follows others may not have the newest lease yet."""


class Leader:
    """Remembers the epoch of the last lease that was seen."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._epoch = 0
        self._looking = asyncio.Lock()
        self._asking = 0

    async def doubt(self, epoch: int) -> str:
        """Why a controller with this epoch is not obeyed; empty when it leads."""
        if epoch == self._epoch:
            return ""
        if self._asking >= MAX_ASKING:
            return "too many controllers claim to lead"
        self._asking += 1
        try:
            async with self._looking:
                return await self._look(epoch)
        finally:
            self._asking -= 1

    async def _look(self, epoch: int) -> str:
        for _ in range(LOOKS):
            try:
                entry = await self._table.entry(KEY)
                leads = 0 if entry is None else owner_of(entry)[1]
            except Error as error:
                return f"it cannot be told whether the controller that asks leads: {error}"
            if leads == epoch:
                self._epoch = epoch
                return ""
            if epoch < leads:
                return "the controller that asks leads no more"
            await asyncio.sleep(PAUSE)
        return "the controller that asks does not lead: no lease says so"
