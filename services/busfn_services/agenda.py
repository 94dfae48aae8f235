"""What is due next among many; only the nearest are remembered. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAX_REMEMBERED = 10_000


class Entry(NamedTuple):
    """Something that is due at a moment."""

    due: float
    """Unix seconds."""
    stream: str
    subject: str


class Agenda:
    """Entries by time. Further ones than it has room for are left out: `exhausted` says when to read all again."""

    def __init__(self, room: int = MAX_REMEMBERED) -> None:
        self._room = room
        self._heap: list[Entry] = []
        self._known: set[Entry] = set()
        self._upto = math.inf
        """Entries up to this moment are all remembered."""

    def __len__(self) -> int:
        return len(self._heap)

    def replace(self, entries: Iterable[Entry]) -> None:
        """These are all that there are."""
        self._heap, self._upto = [], math.inf
        self._keep(sorted(entries))

    def add(self, entry: Entry) -> None:
        """One more."""
        if entry.due > self._upto or entry in self._known:
            return
        heapq.heappush(self._heap, entry)
        self._known.add(entry)
        if len(self._heap) > 2 * self._room:
            self._keep(sorted(self._heap))

    def pop(self, until: float) -> Iterator[Entry]:
        """Take those that are due at this moment."""
        while self._heap and self._heap[0].due <= until:
            entry = heapq.heappop(self._heap)
            self._known.discard(entry)
            yield entry

    @property
    def next(self) -> float:
        """When the next one is due; infinite for none."""
        return self._heap[0].due if self._heap else math.inf

    @property
    def exhausted(self) -> bool:
        """Whether there are others, and all that are remembered are done."""
        return not self._heap and self._upto < math.inf

    def _keep(self, entries: list[Entry]) -> None:
        if len(entries) > self._room:
            self._upto = min(self._upto, entries[self._room - 1].due)
            entries = [entry for entry in entries[: 2 * self._room] if entry.due <= self._upto]
        self._heap, self._known = entries, set(entries)
