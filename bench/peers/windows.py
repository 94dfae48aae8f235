"""So many calls in flight, for systems whose calls give something that can be waited for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any


def windowed(start: Callable[[int], Any], wait: Callable[[Any], object], calls: int, width: int) -> None:
    """Start calls, waiting for the oldest whenever ``width`` are on their way."""
    flying: deque[Any] = deque()
    for x in range(calls):
        if len(flying) >= width:
            wait(flying.popleft())
        flying.append(start(x))
    for one in flying:
        wait(one)
