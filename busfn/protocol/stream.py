"""Both ends of a generator's stream of items, as state machines without I/O.

Rules: items are numbered from 0 and travel in frames of consecutive ones. The sender may be a window of items and of
bytes ahead of what the receiver granted. The receiver takes each item once, in order: a frame may repeat items (they
are skipped) but must not leave a gap. After the end nothing may follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from busfn.errors import ProtocolError

WINDOW_ITEMS = 256
WINDOW_BYTES = 1024 * 1024
MAX_ITEMS = 64 * WINDOW_ITEMS
MAX_BYTES = 64 * WINDOW_BYTES
"""How far ahead a sender may be, whatever it is granted."""


class State(Enum):
    """Where a stream is."""

    OPEN = "open"
    ENDED = "ended"


class Event(Enum):
    """What happens to a stream."""

    ITEMS = "items"
    END = "end"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.OPEN: {Event.ITEMS: State.OPEN, Event.END: State.ENDED},
    State.ENDED: {},
}


def _step(state: State, event: Event) -> State:
    following = TRANSITIONS[state].get(event)
    if following is None:
        raise ProtocolError(f"a stream that has {state.value} got more {event.value}")
    return following


@dataclass(slots=True)
class Sender:
    """How far ahead a sender may be."""

    items: int = WINDOW_ITEMS
    """Items that may still be sent."""
    size: int = WINDOW_BYTES
    """Bytes that may still be sent; a single item may overdraw it."""
    state: State = State.OPEN

    def can_send(self) -> bool:
        """Whether another item may leave."""
        return self.items > 0 and self.size > 0

    def sent(self, items: int, size: int) -> None:
        """Account for items that left."""
        self.state = _step(self.state, Event.ITEMS)
        self.items -= items
        self.size -= size

    def granted(self, items: int, size: int) -> None:
        """The receiver allows more, up to a window that fits into memory."""
        self.items = min(self.items + items, MAX_ITEMS)
        self.size = min(self.size + size, MAX_BYTES)

    def ended(self) -> None:
        """No more items follow."""
        self.state = _step(self.state, Event.END)


@dataclass(slots=True)
class Receiver:
    """What arrived, and how much more may be granted."""

    expected: int = 0
    """Number of the next item."""
    state: State = State.OPEN
    _items: int = 0
    _size: int = 0

    @property
    def done(self) -> bool:
        """The end was seen, and with it every item."""
        return self.state is State.ENDED

    def accept(self, first: int, count: int, size: int) -> int:
        """Take a frame; returns how many of its leading items are repeats. Raises `ProtocolError` for a gap."""
        self.state = _step(self.state, Event.ITEMS)
        if first > self.expected:
            raise ProtocolError(f"items {self.expected} to {first - 1} of a stream are missing")
        self._items += count
        self._size += size
        skip = min(count, self.expected - first)
        self.expected = max(self.expected, first + count)
        return skip

    def end(self, total: int) -> None:
        """The sender says how many items there were. Raises `ProtocolError` when some did not arrive."""
        following = _step(self.state, Event.END)
        if total != self.expected:
            raise ProtocolError(f"a stream of {total} items ended after {self.expected}")
        self.state = following

    def grant_due(self) -> tuple[int, int]:
        """Items and bytes to grant now, (0, 0) while it is less than a quarter of the window."""
        if self._items < WINDOW_ITEMS // 4 and self._size < WINDOW_BYTES // 4:
            return 0, 0
        grant = (self._items, self._size)
        self._items = self._size = 0
        return grant
