"""Notices a server that answers and stores nothing: its disk is full, or JetStream is off.

Such a server does not refuse a message; it says nothing, or that no stream is there. So does a cluster that elects a
leader, and a server that starts, for a moment: those are waited for as long as the caller likes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from busfn.errors import Error, ServiceError

if TYPE_CHECKING:
    from busfn.bus.core import NatsBus

PATIENCE = 5.0
"""Seconds without an answer after which a server that answers other questions counts as unable to store."""
KNOWN_PATIENCE = 1.0
"""The same for a stream that was so just before."""
KNOWN_FOR = 30.0
"""Seconds."""
_ANSWER = 1.0
_TOKENS = 3
"""Tokens of a subject that tell its stream: ours look like ``busfn.main.job.<...>``."""
_MAX_KNOWN = 100


class Stalls:
    """What is known of the streams of one bus."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self._known: dict[str, float] = {}
        """Until when (monotonic seconds) a stream counts as stalled, by the beginning of its subjects."""
        self._connected_at = 0.0
        bus.on_reconnect(self._reconnected)

    def limit(self, subject: str, limit: float) -> float:
        """Seconds that an attempt may take."""
        return min(limit, KNOWN_PATIENCE) if self._known and self._stalled(subject) else limit

    async def check(self, subject: str, began: float) -> None:
        """An attempt to store something was not answered; the first one ``began`` then (monotonic seconds).

        Raises `ServiceError` when it is no use to try on.
        """
        waited = time.monotonic() - max(began, self._connected_at)
        patience = KNOWN_PATIENCE if self._stalled(subject) else PATIENCE
        if waited < patience or self._bus.clustered or not await self._answers():
            return
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[_stream(subject)] = time.monotonic() + KNOWN_FOR
        raise ServiceError(
            f"{subject}: the server answers, but has not stored this within {waited:.1f} s. Most likely its disk is"
            " full: free some space; a server that does not come back by itself then needs a restart. `busfn health`"
            " tells whether it stores"
        )

    def _reconnected(self) -> None:
        """The server may have been started again: it is given its time."""
        self._connected_at = time.monotonic()
        self._known.clear()

    def _stalled(self, subject: str) -> bool:
        return self._known.get(_stream(subject), 0.0) > time.monotonic()

    async def _answers(self) -> bool:
        """Whether the server hears us."""
        try:
            await self._bus.flush(_ANSWER)
        except Error:
            return False
        return True


def _stream(subject: str) -> str:
    return ".".join(subject.split(".", _TOKENS)[:_TOKENS])
