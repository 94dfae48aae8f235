"""How much a worker may hold: one input at a time, or about 2 ms worth of inputs that are that short. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from busfn_services.flight import SLOTS

MOST_WORK = 0.002
"""Seconds of estimated work that may be held beyond the free slots."""
SOON = 0.005
"""Seconds before their turn that further messages are asked for: what a busy bus takes to bring them."""
MOST_MESSAGES = 64
FORESEEN = 0.1
"""Seconds up to which the end of an input is foretold from how long others took."""
WEIGHT = 0.2
"""Of a new measurement in the running mean."""
MOST_GROWTH = 4.0
"""How often the mean a measurement may count: a short body that the scheduler kept waiting once is no long one."""


@dataclass(slots=True)
class Limiter:
    """Counts what is held; one thread only."""

    slots: int = SLOTS
    once: bool = False
    """A single message in all."""
    messages: int = 0
    inputs: int = 0
    mean: float | None = None
    """Mean run time of an input, in seconds; None before the first."""
    _taken: int = 0
    _size: int = 1
    """Inputs of the last message."""

    def room(self) -> int:
        """Messages that may be taken now."""
        if self.once:
            return 1 - self._taken
        free = self.slots - self.messages
        if self.mean is None or self.mean <= 0:
            return max(0, free)
        spare = (MOST_WORK - self.inputs * self.mean) / self.mean
        return max(0, free, int(min(spare, MOST_MESSAGES - self.messages)))

    def ahead(self, work: float) -> int:
        """Messages that may be asked for before the ``work`` seconds that are held are done: as many, if they are like
        the last one, as fill the time until they are here.

        Only for short inputs, whose end can be foretold.
        """
        if self.once or not self.mean or self.mean > FORESEEN or work > SOON:
            return 0
        missing = (SOON - work) / (self.mean * self._size)
        return max(0, 1 + int(min(missing, MOST_MESSAGES - 1 - self.messages)))

    def take(self, inputs: int) -> None:
        """A message with so many inputs was taken."""
        self.messages += 1
        self._taken = 1
        self._size = max(1, inputs)
        self.inputs += inputs

    def shed(self, inputs: int) -> None:
        """So many inputs of a message were given away."""
        self.inputs -= inputs

    def release(self, inputs: int) -> None:
        """A message was finished."""
        self.messages -= 1
        self.inputs -= inputs

    def observe(self, mean: float) -> None:
        """An input took so long."""
        if self.mean is None:
            self.mean = mean
        else:
            self.mean += WEIGHT * (min(mean, MOST_GROWTH * self.mean) - self.mean)
