"""Removes what runs that vanished have left on the bus under tokens of their own, which no later run would take up."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress

from busfn.bus.base import Bus
from busfn.claims import Claims
from busfn.errors import Error, NotFoundError
from busfn.protocol.subjects import Subjects
from busfn.registry import Registry
from busfn.streams import consumers, delayed

LOOK_EVERY = 3600.0
"""Seconds between looks."""

logger = logging.getLogger("busfn.controller")


async def remove_from_bus(bus: Bus, subjects: Subjects, functions: Iterable[tuple[str, str]]) -> None:
    """Purge what is queued for functions (app and name), and delete their consumers."""
    for app, function in functions:
        for stream, subject in delayed(subjects, app, function):
            with suppress(NotFoundError):  # of a bus of an older busfn
                await bus.queues.purge(stream, subject)
        for consumer in consumers(subjects, app, function):
            await bus.queues.purge(consumer.stream, consumer.subject)
            await bus.queues.delete_consumer(consumer.stream, consumer.name)


class AbandonedRuns:
    """Looks for them once an hour; for whoever leads."""

    def __init__(self, bus: Bus, subjects: Subjects, registry: Registry) -> None:
        self._bus = bus
        self._subjects = subjects
        self._registry = registry
        self._claims = Claims(registry, bus.table(subjects.table))
        self._next = 0.0

    async def tidy(self, now: float) -> None:
        """Remove what was left by runs that were not heard of for a day; ``now`` is in unix seconds."""
        if now < self._next:
            return
        self._next = now + LOOK_EVERY
        for token, functions in await self._claims.abandoned(now):
            try:
                await remove_from_bus(self._bus, self._subjects, ((token, function) for function in functions))
                await self._registry.forget_overrides(token)
                await self._claims.forget(token)
            except Error as error:  # what one of them wrote does not keep the others
                logger.warning("what the run %s has left cannot be removed yet: %s", token, error)
