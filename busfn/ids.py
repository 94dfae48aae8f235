"""Ids that sort by time."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque

from busfn.protocol.border import CallId

_NOISE_BYTES = 10
_NOISE_DIGITS = 2 * _NOISE_BYTES
_VARIANTS = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
_AT_ONCE = 256
_FIRST = 1_577_836_800.0
"""Unix seconds before which no id was made."""
_SKEW = 24 * 3600.0
"""Seconds by which clocks may differ."""


def call_id_of(*parts: str) -> CallId:
    """The id that these texts always give: 32 hex digits of a SHA-256."""
    return CallId(hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32])


def made_at(call: str, now: float) -> float:
    """When a call id was made, in unix seconds; 0 for one that does not tell, as those of idempotency keys."""
    if len(call) != 32 or call[12] != "7" or call[16] not in "89ab":
        return 0.0
    try:
        seconds = int(call[:12], 16) / 1000
    except ValueError:
        return 0.0
    return seconds if _FIRST < seconds < now + _SKEW else 0.0


class CallIds:
    """Makes call ids, from any thread; each process needs its own.

    The system is asked for randomness once for many ids: each time lets go of the interpreter's lock, which costs a
    busy caller more than the rest of a call does.
    """

    def __init__(self) -> None:
        self._ends: deque[str] = deque()

    def __call__(self) -> CallId:
        try:
            end = self._ends.popleft()
        except IndexError:
            end, *rest = _ends(_AT_ONCE)
            self._ends.extend(rest)
        return CallId(_stamp() + end)


def new_call_id() -> CallId:
    """A UUIDv7 as 32 hex digits (RFC 9562, section 5.7): 48 bits of unix milliseconds, then random bits."""
    return CallId(_stamp() + _ends(1)[0])


def _stamp() -> str:
    return f"{int(time.time() * 1000) & 0xFFFFFFFFFFFF:012x}"


def _ends(count: int) -> list[str]:
    """Version, 12 bits, variant of 2 bits, 62 bits."""
    noise = os.urandom(_NOISE_BYTES * count).hex()
    pieces = [noise[at : at + _NOISE_DIGITS] for at in range(0, len(noise), _NOISE_DIGITS)]
    return [f"7{piece[:3]}{_VARIANTS[piece[3]]}{piece[4:19]}" for piece in pieces]
