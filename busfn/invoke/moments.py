"""When what is stored of calls happened. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from busfn.protocol import headers as h

_SERVER_TIME = "Nats-Time-Stamp"
_LAST = 4_102_444_800_000
"""Unix milliseconds of the year 2100; what is later was never stored by one of us, and may be no date at all."""


@dataclass(frozen=True, slots=True)
class Times:
    """When an input ran, in unix seconds; 0 for what is not known."""

    started: float = 0.0
    ended: float = 0.0
    attempts: int = 0

    @property
    def seconds(self) -> float:
        """How long the last attempt took."""
        return self.ended - self.started if self.started else 0.0


def times_of(headers: Mapping[str, str], took: float = 0.0) -> Times:
    """Of a stored result, from the time at which it was stored and how long its input took."""
    ended = stored_at(headers)
    return Times(ended - took if took and ended else 0.0, ended, _number(headers.get(h.ATTEMPT, "")) or 1)


def stored_at(headers: Mapping[str, str]) -> float:
    """By the clock of the host that stored it, else by the server's."""
    milliseconds = _number(headers.get(h.TIME, ""))
    if 0 < milliseconds < _LAST:
        return milliseconds / 1000
    try:
        return dt.datetime.fromisoformat(headers.get(_SERVER_TIME, "")).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0
