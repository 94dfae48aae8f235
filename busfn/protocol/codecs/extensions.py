"""Codes of our msgpack extension types. They are part of the wire format: never reuse one."""

from __future__ import annotations

TUPLE, SET, FROZENSET, BIGINT, COMPLEX = 1, 2, 3, 4, 5
DATETIME, DATE, TIME, TIMEDELTA, DECIMAL, UUID = 6, 7, 8, 9, 10, 11

APART = 127
"""Never sent: stands for bytes that are apart, while what is around them is read."""

MAX_DEPTH = 64
"""Containers inside containers; deeper values are left to pickle."""
MAX_INTEGER = 64 * 1024
"""Bytes of an integer; larger ones are left to pickle, which needs the key."""
