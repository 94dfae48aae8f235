"""Moments as people write and read them. Pure."""

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


def shown(seconds: float, after: float = 0.0) -> str:
    """A moment for people, in local time, or `-` when it is not known; without its day when that is the one of
    ``after``."""
    if not seconds:
        return "-"
    moment = dt.datetime.fromtimestamp(seconds).astimezone()
    same_day = after and dt.datetime.fromtimestamp(after).astimezone().date() == moment.date()
    return f"{moment:%H:%M:%S}" if same_day else f"{moment:%Y-%m-%d %H:%M:%S}"


def iso(seconds: float) -> str | None:
    """A moment for programs; None when it is not known."""
    return dt.datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds") if seconds else None


def duration(seconds: float) -> str:
    """How long something took, or `-` when that is not known."""
    if seconds <= 0:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds < 0.0995 else f"{seconds * 1000:.0f} ms"
    return (
        f"{seconds:.1f} s"
        if seconds < 120
        else f"{seconds / 60:.1f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
