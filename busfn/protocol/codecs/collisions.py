"""Bounds the work of hashing values that anybody may have sent.

Python's hashes of numbers, and of tuples of them, are the same everywhere, so a caller can choose values that collide.
A set of n such values takes n * n comparisons. Hashes of text and bytes are random, and those of the numbers that
msgpack has itself collide a few times at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable

from busfn.errors import ProtocolError

MAX_COLLISIONS = 256
"""Values with the same hash in one set or dict."""


def check_collisions(keys: Collection[Hashable]) -> None:
    """Raises `ProtocolError` for keys that collide too often, before they are put into a set or dict; `TypeError` for
    one without a hash."""
    if len(keys) <= MAX_COLLISIONS:
        return
    hashes = Counter(map(hash, keys))
    if len(keys) - len(hashes) >= MAX_COLLISIONS and max(hashes.values()) > MAX_COLLISIONS:
        raise ProtocolError(f"more than {MAX_COLLISIONS} values with the same hash in one set or map are refused")
