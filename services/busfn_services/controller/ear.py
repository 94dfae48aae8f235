"""Hears what is queued for a function, as long as that may matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from busfn.bus.base import Bus, Message, Subscription


class Ear:
    """Is told of every message that is stored under some subjects, from `open` to `close`."""

    def __init__(self, bus: Bus, subjects: Sequence[str], wake: Callable[[], None]) -> None:
        self._bus = bus
        self._subjects = subjects
        self._wake = wake
        self._subscriptions: list[Subscription] = []

    async def open(self) -> bool:
        """Listen. Tells whether nobody did before: what was stored meanwhile was not heard."""
        missing = self._subjects[len(self._subscriptions) :]
        for subject in missing:
            self._subscriptions.append(await self._bus.subscribe(subject, self._on_message))
        return bool(missing)

    async def close(self) -> None:
        """Listen no more. Idempotent."""
        while self._subscriptions:
            await self._subscriptions.pop().leave()

    def _on_message(self, _: Message) -> None:
        self._wake()
