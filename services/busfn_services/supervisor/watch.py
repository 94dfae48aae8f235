"""What a supervisor owes to the messages that its workers hold, moment by moment. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from busfn_services.flight import Entry, Kind

LEASE_EVERY = 10.0
"""Seconds between renewals of a lease, a third of the consumers' ack wait."""
BEAT_AFTER = 0.1
"""Seconds a call runs before its caller is told."""
BEAT_EVERY = 3.0
GRACE = 2.0
"""Seconds that a body over its time has to react before its worker is killed."""
INTERRUPT_EVERY = 0.5
"""Seconds between interruptions, of which a worker heeds one for each input. Of a chunk, the input that runs may have
been started a little later than was noted, so that the first one comes before its time is over."""


class Duty(Enum):
    """Something to do now."""

    RENEW = "renew the lease"
    BEAT = "tell the caller that it runs"
    INTERRUPT = "interrupt the body"
    KILL = "kill the worker"


@dataclass(slots=True)
class _Seen:
    accepted: float
    renewed: float
    beaten: float = -BEAT_EVERY
    interrupted: float = 0.0
    """When an interruption was last due."""


@dataclass(slots=True)
class Watch:
    """One worker's messages over time."""

    timeout: float
    _seen: dict[int, _Seen] = field(default_factory=dict[int, _Seen])

    def duties(self, entries: Iterable[tuple[int, Entry]], now: float) -> list[tuple[Duty, Entry]]:
        """What is due at ``now`` (monotonic seconds)."""
        due: list[tuple[Duty, Entry]] = []
        current: dict[int, _Seen] = {}
        entries = list(entries)
        running = max((entry.started for _, entry in entries), default=0.0)
        for slot, entry in entries:
            seen = self._seen.get(slot)
            if seen is None or seen.accepted != entry.accepted:
                seen = _Seen(entry.accepted, entry.accepted)
            current[slot] = seen
            due.extend((duty, entry) for duty in self._of(seen, entry, now, running))
        self._seen = current
        return due

    def _of(self, seen: _Seen, entry: Entry, now: float, running: float) -> list[Duty]:
        due: list[Duty] = []
        if entry.token and now - seen.renewed >= LEASE_EVERY:
            seen.renewed = now
            due.append(Duty.RENEW)
        interactive = entry.kind is not Kind.JOB and not entry.foreign
        if interactive and now - entry.accepted >= BEAT_AFTER and now - seen.beaten >= BEAT_EVERY:
            seen.beaten = now
            due.append(Duty.BEAT)
        # What was started before is done, even if its worker had no time yet to say so.
        if entry.running and entry.started == running and now - entry.started >= self.timeout:
            due.extend(self._overdue(seen, entry, now))
        return due

    def _overdue(self, seen: _Seen, entry: Entry, now: float) -> list[Duty]:
        if now - entry.started >= self.timeout + GRACE:
            return [Duty.KILL]
        if now - max(seen.interrupted, entry.started) >= min(INTERRUPT_EVERY, self.timeout):
            seen.interrupted = now
            return [Duty.INTERRUPT]
        return []
