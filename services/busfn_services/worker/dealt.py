"""Up to which delivery a worker has dealt with what came to it, as its supervisor may believe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from busfn_services.flight import Kind


class Dealt:
    """Notes deliveries two turns of the loop later, when all that was said of them to the server has been written.

    Should we die before, the supervisor has others get what is not in the in-flight table. Loop thread only.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, note: Callable[[Kind, int], None]) -> None:
        self._loop = loop
        self._note = note
        self._orders: dict[Kind, int] = {}

    def add(self, kind: Kind, order: int) -> None:
        """All deliveries of this kind up to this one are in the in-flight table, or were refused."""
        if not self._orders:
            self._loop.call_soon(self._pass_on)
        self._orders[kind] = order

    def _pass_on(self) -> None:
        orders, self._orders = self._orders, {}
        self._loop.call_soon(self._note_all, orders)

    def _note_all(self, orders: dict[Kind, int]) -> None:
        for kind, order in orders.items():
            self._note(kind, order)
