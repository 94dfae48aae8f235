"""Ending what needs the bus, when the bus may be gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from busfn.bus.base import Bus
from busfn.errors import Error

SILENCE = 2.0
"""Seconds without an answer after which a bus that seems connected counts as away."""
LOOK_EVERY = 0.25
"""Seconds between looks at it."""


async def while_there(bus: Bus, work: Coroutine[None, None, None], grace: float) -> bool:
    """Do ``work``, which waits for the bus, to its end; once the bus is away, for ``grace`` more seconds at most.

    Tells whether it came to its end, and raises what it raised.
    """
    doing, away = asyncio.create_task(work), asyncio.create_task(_away(bus))
    try:
        await asyncio.wait((doing, away), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((doing,), timeout=grace)
    finally:
        doing.cancel()
        away.cancel()
        await asyncio.gather(doing, away, return_exceptions=True)
    if doing.cancelled():
        return False
    doing.result()
    return True


async def _away(bus: Bus) -> None:
    """Until the bus is away."""
    while bus.connected:  # ends: when its caller cancels it
        try:
            await bus.flush(SILENCE)
        except Error:
            return
        await asyncio.sleep(LOOK_EVERY)
