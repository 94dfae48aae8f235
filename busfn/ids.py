"""Ids that sort by time."""

from __future__ import annotations

import hashlib
import os
import time


def call_id_of(*parts: str) -> str:
    """The id that these texts always give: 32 hex digits of a SHA-256."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def new_call_id() -> str:
    """A UUIDv7 as 32 hex digits (RFC 9562, section 5.7): 48 bits of unix milliseconds, then random bits."""
    stamp = int(time.time() * 1000) & 0xFFFFFFFFFFFF
    noise = int.from_bytes(os.urandom(10), "big")
    high, low = noise >> 68, noise & 0x3FFFFFFFFFFFFFFF
    return f"{stamp:012x}7{high:03x}{0x8000000000000000 | low:016x}"
