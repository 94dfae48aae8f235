"""When is a call that has not answered lost? A pure state machine over what was heard of it.

A call is *sent*; then *queued* (its place in the overflow stream is known) or *running* (its supervisor sends beats).
Silence means something different in each: a sent call must be heard of within `SILENCE`, a running one within
`DEAD_HOST`, and a queued one is looked up in the stream every `LOOKUP` seconds, where it stays until it was answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SILENCE = 5.0
"""Seconds in which a worker or an activator says that it has a call."""
DEAD_HOST = 10.0
"""Seconds without a beat after which a host counts as dead; beats come every 3 s."""
LOOKUP = 10.0
"""Seconds between looks at a queued call."""
SILENT_LIMIT = 6
"""Sends without any word back after which busfn gives up."""


class Action(Enum):
    """What to do about a call."""

    NOTHING = "nothing"
    RESEND = "resend"
    LOOK = "look"
    GIVE_UP = "give up"


@dataclass(slots=True)
class Liveness:
    """What was last heard of a call; times are seconds of one monotonic clock."""

    heard: float
    sequence: int = 0
    running: bool = False
    silent_sends: int = 0
    copies: int = 1
    """Sends that nobody has given back unread."""
    missing: bool = False

    def beat(self, now: float, sequence: int) -> None:
        """A worker runs it, or (with ``sequence``) it waits in the overflow stream."""
        self.heard, self.silent_sends, self.missing = now, 0, False
        self.sequence, self.running = sequence, sequence == 0

    def sent(self, now: float) -> None:
        """It was sent again."""
        self.heard, self.sequence, self.running, self.missing = now, 0, False, False
        self.silent_sends += 1
        self.copies += 1

    def unread(self, sequence: int = 0) -> Action:
        """A worker came to a copy of it so late that it did not run it; another one may be on its way, or run.

        ``sequence`` is the place where this copy was queued, if it was.
        """
        self.copies -= 1
        self.silent_sends = 0
        if sequence == self.sequence:
            self.sequence = 0
        return Action.NOTHING if self.copies > 0 or self.running or self.sequence else Action.RESEND

    def due(self, now: float) -> Action:
        """What the silence up to ``now`` asks for."""
        quiet = now - self.heard
        if self.sequence:
            return Action.LOOK if quiet >= LOOKUP or self.missing else Action.NOTHING
        if quiet < (DEAD_HOST if self.running else SILENCE):
            return Action.NOTHING
        return Action.GIVE_UP if self.silent_sends >= SILENT_LIMIT else Action.RESEND

    def looked(self, now: float, *, found: bool) -> Action:
        """The look's outcome: gone twice in a row without an answer means lost."""
        if found:
            self.heard, self.missing = now, False
            return Action.NOTHING
        if self.missing:
            return Action.RESEND
        self.missing = True
        return Action.NOTHING
