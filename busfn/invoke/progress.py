"""How far a map is, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One map at one moment."""

    call: str
    function: str
    done: int
    """Results that were handed to the consumer."""
    total: int | None
    """Inputs in all, when that is known."""
    over: bool = False


Watch = Callable[[Progress], None]
"""Called on the thread that consumes the map, for each block of results."""


def unwatched(progress: Progress) -> None:
    """Nobody looks."""
