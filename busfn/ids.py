"""Ids that sort by time."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque

_NOISE_BYTES = 10
_AT_ONCE = 256


def call_id_of(*parts: str) -> str:
    """The id that these texts always give: 32 hex digits of a SHA-256."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


class CallIds:
    """Makes call ids, from any thread; each process needs its own.

    The system is asked for randomness once for many ids: each time lets go of the interpreter's lock, which costs a
    busy caller more than the rest of a call does.
    """

    def __init__(self) -> None:
        self._ends: deque[str] = deque()

    def __call__(self) -> str:
        try:
            end = self._ends.popleft()
        except IndexError:
            random = os.urandom(_NOISE_BYTES * _AT_ONCE)
            pieces = (random[at : at + _NOISE_BYTES] for at in range(0, len(random), _NOISE_BYTES))
            end, *rest = map(_end, pieces)
            self._ends.extend(rest)
        return _stamp() + end


def new_call_id() -> str:
    """A UUIDv7 as 32 hex digits (RFC 9562, section 5.7): 48 bits of unix milliseconds, then random bits."""
    return _stamp() + _end(os.urandom(_NOISE_BYTES))


def _stamp() -> str:
    return f"{int(time.time() * 1000) & 0xFFFFFFFFFFFF:012x}"


def _end(random: bytes) -> str:
    """Version, 12 bits, variant, 62 bits."""
    noise = int.from_bytes(random, "big")
    high, low = noise >> 68, noise & 0x3FFFFFFFFFFFFFFF
    return f"7{high:03x}{0x8000000000000000 | low:016x}"
