"""Consumers of functions that are served no more: each costs the bus memory, and a cluster a vote, for as long as it is
there."""

from __future__ import annotations

from collections.abc import Iterable

from busfn.bus.base import ConsumerSpec, Queues
from busfn.bus.stores import Table
from busfn.claims import is_claimed
from busfn.errors import NotFoundError


class Retired:
    """Remembers them, and removes those that nobody needs any more."""

    def __init__(self, queues: Queues, table: Table) -> None:
        self._queues = queues
        self._table = table
        self._consumers: dict[ConsumerSpec, str] = {}

    def add(self, app: str, consumers: Iterable[ConsumerSpec]) -> None:
        """Their function is served no more."""
        self._consumers.update((consumer, app) for consumer in consumers)

    def discard(self, consumers: Iterable[ConsumerSpec]) -> None:
        """Their function is served again."""
        for consumer in consumers:
            self._consumers.pop(consumer, None)

    async def tidy(self) -> None:
        """Remove what has nothing queued or running, and nobody who asks for more: a worker that is still leaving, or
        one that serves the function without a controller."""
        for consumer, app in list(self._consumers.items()):
            if await is_claimed(self._table, app):
                self.discard([consumer])  # by a run, which removes it when it ends
            elif await self._unused(consumer):
                await self._queues.delete_consumer(consumer.stream, consumer.name)
                self.discard([consumer])

    async def _unused(self, consumer: ConsumerSpec) -> bool:
        try:
            lag = await self._queues.lag(consumer.stream, consumer.name)
        except NotFoundError:
            return True
        return not (lag.pending or lag.unsettled or lag.waiting)
