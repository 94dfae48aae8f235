"""Moments as people write them. Pure."""

from __future__ import annotations

import datetime as dt
import re

_AGO = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_moment(text: str, now: float) -> float:
    """Unix seconds of ``2h`` (ago; also s, m, d, w) or of an ISO 8601 date and time, local unless it has an offset.

    Raises `ValueError` with what is allowed.
    """
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no moment: write how long ago, as 90s, 15m, 2h or 1d, or ISO 8601, as 2026-01-31T12:00"
        ) from None
