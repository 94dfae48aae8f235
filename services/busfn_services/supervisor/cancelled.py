"""Which durable calls were cancelled lately, and when the bodies that run them must be gone. Pure."""

from __future__ import annotations

from collections import OrderedDict

from busfn.errors import ProtocolError
from busfn.protocol.control import Cancellation
from busfn.protocol.subjects import Subjects
from busfn_services.flight import Entry, Kind
from busfn_services.supervisor.watch import GRACE

REMEMBERED = 600.0
"""Seconds for which a cancellation is remembered."""
MAX_CANCELLED = 10_000
"""Cancellations that are remembered; of more, the oldest are forgotten."""

Key = tuple[str, str, str]
"""App, function and call."""


class Cancelled:
    """Told of every cancellation, and asked about what runs. Times are seconds of one monotonic clock."""

    def __init__(self, subjects: Subjects) -> None:
        self._subjects = subjects
        self._ends: OrderedDict[Key, tuple[float, float]] = OrderedDict()
        """When each was noted, oldest first, and when its bodies must be gone."""

    def __bool__(self) -> bool:
        return bool(self._ends)

    def note(self, subject: str, body: bytes, now: float) -> None:
        """A message of a function's control subject. Raises `ProtocolError` when it is no cancellation."""
        cancellation = Cancellation.decode(body)
        address = self._subjects.parse(subject)
        if address.kind != "ctl":
            raise ProtocolError(f"{subject[:200]!r} is no control subject")
        key = (address.app, address.function, cancellation.call)
        end = now if cancellation.terminate else now + GRACE
        if key in self._ends:  # the sooner end counts, also when it was told twice
            end = min(end, self._ends.pop(key)[1])
        self._ends[key] = now, end
        self._forget(now)

    def ends(self, app: str, function: str, entry: Entry) -> float | None:
        """When the body that runs a message must be gone; None when it may go on: it was not cancelled, or its caller
        waits for an answer, and gets one."""
        if entry.kind is not Kind.JOB or entry.reply:
            return None
        noted = self._ends.get((app, function, entry.call))
        return None if noted is None else noted[1]

    def _forget(self, now: float) -> None:
        while self._ends:
            key, (noted, _) = next(iter(self._ends.items()))
            if len(self._ends) <= MAX_CANCELLED and noted > now - REMEMBERED:
                return
            del self._ends[key]
