"""How much a worker may hold: one input at a time, or a few milliseconds' worth of inputs that are that short. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from busfn_services.flight import SLOTS

MOST_WORK = 0.002
"""Seconds of estimated work that may be held beyond the free slots."""
SOON = 0.005
"""Seconds before their turn that further messages are asked for: what a busy bus takes to bring them."""
MOST_BORNE = 0.020
"""Seconds of estimated work up to which what was asked for is taken when it comes, though more has come than was
expected: about what one message of a map holds. Giving it back costs more than it gains."""
MOST_MESSAGES = 64
FORESEEN = 0.1
"""Seconds up to which the end of an input is foretold from how long others took."""
WEIGHT = 0.2
"""Of a new measurement in the running mean."""
MOST_GROWTH = 4.0
"""How often the mean a measurement may count: a short body that the scheduler kept waiting once is no long one."""


@dataclass(slots=True)
class Limiter:
    """Counts what is held; one thread only. The seconds of ``work`` that it is asked with are those that are held."""

    slots: int = SLOTS
    once: bool = False
    """A single message in all."""
    messages: int = 0
    mean: float | None = None
    """Mean run time of an input, in seconds; None before the first."""
    _taken: int = 0
    _size: int = 1
    """Inputs of the last message."""

    def room(self, work: float) -> int:
        """Messages that may be taken now; those to come are expected to be like the last one."""
        if self.once:
            return 1 - self._taken
        return max(0, self.slots - self.messages, self._lasting(MOST_WORK - work))

    def ahead(self, work: float) -> int:
        """Messages that may be asked for before the ``work`` is done: as many as fill the time until they are here.

        Only for short inputs, whose end can be foretold.
        """
        if self.once or not self._foreseeable() or work > SOON:
            return 0
        return min(1 + self._lasting(SOON - work), max(0, MOST_MESSAGES - self.messages))

    def bears(self, work: float) -> bool:
        """Whether a message that was asked for is taken, though there is no room for it by now."""
        return not self.once and self._foreseeable() and work <= MOST_BORNE

    def take(self, inputs: int) -> None:
        """A message with so many inputs was taken."""
        self.messages += 1
        self._taken = 1
        self._size = max(1, inputs)

    def release(self) -> None:
        """A message was finished."""
        self.messages -= 1

    def observe(self, mean: float) -> None:
        """An input took so long."""
        if self.mean is None:
            self.mean = mean
        else:
            self.mean += WEIGHT * (min(mean, MOST_GROWTH * self.mean) - self.mean)

    def _foreseeable(self) -> bool:
        return self.mean is not None and 0 < self.mean <= FORESEEN

    def _lasting(self, seconds: float) -> int:
        """How many further messages last so long; 0 while that is not known."""
        if not self.mean:
            return 0
        return int(min(seconds / (self.mean * self._size), MOST_MESSAGES - self.messages))
