"""The in-flight table: what a worker is running, written by the worker and read by its supervisor.

It lives in memory that both processes map, so writing costs no system call and reading needs no cooperation: whatever
user code does (hold the GIL, block the loop, crash), the supervisor can still renew leases, send beats and clean up.
Each record has one writer, and its state byte is written last when it is filled and first when it is emptied.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from busfn.protocol.border import CallId, Inbox

RECORDS = 128
"""Inputs or messages that one worker may hold."""
RECORD_SIZE = 1024
SLOTS = 1
"""Inputs that one worker runs at once."""
HEADER_SIZE = 64
TABLE_SIZE = HEADER_SIZE + RECORDS * RECORD_SIZE

_WAITING = struct.Struct("<i")
_SECONDS = struct.Struct("<d")
_ORDER = struct.Struct("<Q")
_MEAN_AT, _HEARD_AT, _PINGED_AT = 8, 16, 24
_TAKEN_AT = 32 - _ORDER.size
"""One for each kind, from 1 on."""
_WEIGHT = 0.2
"""Of a new measurement in the running mean."""
_FIXED = struct.Struct("<BBBBIIIIIQdd32sHH")
_COUNT = struct.Struct("<I")
_RUNNING_AT, _CURSOR_AT, _UPTO_AT, _END_AT = 3, 12, 16, 20
_STARTED = struct.Struct("<d")
_STARTED_AT = 32
_ACCEPTED, _TEXT = 40, 48
_ROOM = RECORD_SIZE - _FIXED.size


class Kind(IntEnum):
    """How a call reached the worker."""

    DIRECT = 1
    OVERFLOW = 2
    JOB = 3


def pull_inbox(prefix: str, secret: str) -> str:
    """Where a worker's deliveries come, a token for each `Kind` below it: its supervisor watches them, too.

    ``secret`` keeps others from sending there; the worker's name would not, for its answers have it.
    """
    return f"{prefix}.{secret}"


@dataclass(slots=True, kw_only=True)
class Entry:
    """One message that a worker holds. Never changed, only copied."""

    kind: Kind
    foreign: bool
    call: CallId
    first: int
    """Index of the message's first input."""
    crashes: int
    sequence: int
    """Place in its stream; 0 for a direct call."""
    token: str
    """Settles the delivery; empty for a direct call."""
    reply: Inbox
    cursor: int = 0
    """Inputs of the message whose answers have left."""
    upto: int = 0
    """Inputs of the message that were started."""
    end: int = 1
    """Inputs of the message that are this worker's; the ones after it were given away."""
    started: float = 0.0
    """When the last of its inputs was started (monotonic seconds); 0 while it waits."""
    running: bool = False
    """That input has not ended."""
    accepted: float = 0.0


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How full a table is."""

    messages: int
    queued: int
    """Those that are to be settled."""
    unstarted: int
    """Those of which no input was started."""
    since: float
    """When the input that has run for the longest was started (monotonic seconds); 0 when none runs."""


class FlightTable:
    """A fixed number of records in shared memory."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, TABLE_SIZE)

    @staticmethod
    def create_file() -> int:
        """An unnamed file to map, in memory where the system has such files; returns its descriptor, which can be sent
        to another process.

        All of it is allocated: writing to a mapped file that cannot grow any more kills the writer. Raises `OSError`.
        """
        fd = _unnamed_file()
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, TABLE_SIZE)
            else:
                os.write(fd, bytes(TABLE_SIZE))
        except OSError:
            os.close(fd)
            raise
        return fd

    def abandon(self) -> None:
        """In a forked child: let go of our parent's records. What is written from now on has no reader."""
        self._map = mmap.mmap(-1, TABLE_SIZE)

    def close(self) -> None:
        self._map.close()

    @property
    def waiting(self) -> int:
        """Inputs that wait for nested calls."""
        return int(_WAITING.unpack_from(self._map)[0])

    def set_waiting(self, waiting: int) -> None:
        """Note how many inputs wait for nested calls."""
        _WAITING.pack_into(self._map, 0, waiting)

    @property
    def mean(self) -> float:
        """Seconds that a message takes, all its inputs together: a running mean; 0 before the first has finished."""
        return float(_SECONDS.unpack_from(self._map, _MEAN_AT)[0])

    def measured(self, seconds: float) -> None:
        """Take in how long a message took. Loop thread only."""
        mean = self.mean
        _SECONDS.pack_into(self._map, _MEAN_AT, mean + _WEIGHT * (seconds - mean) if mean else seconds)

    @property
    def heard(self) -> float:
        """When the bus was last heard of, by pings and by pulls alike (monotonic seconds); 0 for never."""
        return float(_SECONDS.unpack_from(self._map, _HEARD_AT)[0])

    @property
    def pinged(self) -> float:
        """When the worker last had a ping answered (monotonic seconds); 0 for never."""
        return float(_SECONDS.unpack_from(self._map, _PINGED_AT)[0])

    def hears(self, heard: float, pinged: float) -> None:
        """Note when a pull was answered or a delivery came, and a ping (monotonic seconds). Loop thread only."""
        _SECONDS.pack_into(self._map, _HEARD_AT, min(heard, pinged))
        _SECONDS.pack_into(self._map, _PINGED_AT, pinged)

    def taken(self, kind: Kind) -> int:
        """Order of the last delivery of this kind that the worker has dealt with; 0 before the first."""
        return int(_ORDER.unpack_from(self._map, _TAKEN_AT + _ORDER.size * kind)[0])

    def set_taken(self, kind: Kind, order: int) -> None:
        """Note that all deliveries up to this one are in the table, or were refused. Loop thread only."""
        _ORDER.pack_into(self._map, _TAKEN_AT + _ORDER.size * kind, order)

    def fill(self, slot: int, entry: Entry) -> None:
        """Write a record; the supervisor sees it from the moment this returns."""
        at = HEADER_SIZE + slot * RECORD_SIZE
        token, reply = entry.token.encode(), entry.reply.encode()
        if len(token) + len(reply) > _ROOM:
            raise ValueError("the subjects of this delivery are too long for the in-flight table")
        try:
            _FIXED.pack_into(
                self._map, at, 0, entry.kind, entry.foreign, entry.running, entry.first, entry.crashes, entry.cursor,
                entry.upto, entry.end, entry.sequence, entry.started, entry.accepted, entry.call.encode(), len(token),
                len(reply),
            )  # fmt: skip
        except struct.error as error:
            raise ValueError("the numbers of this delivery are too large for the in-flight table") from error
        text = at + _FIXED.size
        self._map[text : text + len(token) + len(reply)] = token + reply
        self._map[at] = 1

    def started(self, slot: int, upto: int, when: float) -> None:
        """Inputs before ``upto`` were started, the last of them now; cheap enough for every slice. Main thread only."""
        at = HEADER_SIZE + slot * RECORD_SIZE
        _COUNT.pack_into(self._map, at + _UPTO_AT, upto)
        _STARTED.pack_into(self._map, at + _STARTED_AT, when)
        self._map[at + _RUNNING_AT] = 1

    def ended(self, slot: int) -> None:
        """What was started has ended, whatever becomes of its outcome. Main thread only."""
        self._map[HEADER_SIZE + slot * RECORD_SIZE + _RUNNING_AT] = 0

    def answered(self, slot: int, cursor: int) -> None:
        """The answers of all inputs before ``cursor`` have left. Loop thread only."""
        _COUNT.pack_into(self._map, HEADER_SIZE + slot * RECORD_SIZE + _CURSOR_AT, cursor)

    def shortened(self, slot: int, end: int) -> None:
        """Inputs from ``end`` on were given away. Loop thread only."""
        _COUNT.pack_into(self._map, HEADER_SIZE + slot * RECORD_SIZE + _END_AT, end)

    def clear(self, slot: int) -> None:
        """Forget a record."""
        self._map[HEADER_SIZE + slot * RECORD_SIZE] = 0

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """The records in use."""
        for slot in self._used():
            entry = self._read(HEADER_SIZE + slot * RECORD_SIZE)
            if entry is not None:
                yield slot, entry

    def occupancy(self) -> Occupancy:
        """What the records in use amount to, for those who look often."""
        count = queued = unstarted = 0
        since = 0.0
        for slot in self._used():
            fixed = _FIXED.unpack_from(self._map, HEADER_SIZE + slot * RECORD_SIZE)
            running, started, token_size = fixed[3], fixed[10], fixed[13]
            count += 1
            queued += token_size > 0
            unstarted += started == 0.0
            since = min(since or started, started) if running else since
        return Occupancy(count, queued, unstarted, since)

    def _used(self) -> list[int]:
        states = self._map[HEADER_SIZE::RECORD_SIZE]
        return [slot for slot, state in enumerate(states) if state]

    def _read(self, at: int) -> Entry | None:
        """A record; None for one that is empty, or was emptied (and perhaps filled again) while it was read."""
        if not self._map[at]:
            return None
        record = self._map[at : at + RECORD_SIZE]
        if not record[0] or not self._map[at] or self._map[at + _ACCEPTED : at + _TEXT] != record[_ACCEPTED:_TEXT]:
            return None
        fixed = _FIXED.unpack_from(record)
        _, kind, foreign, running, first, crashes, cursor, upto, end = fixed[:9]
        sequence, started, accepted, call, token_size, reply_size = fixed[9:]
        text = record[_FIXED.size :]
        token, reply = text[:token_size], text[token_size : token_size + reply_size]
        return Entry(
            kind=Kind(kind), foreign=bool(foreign), running=bool(running), call=CallId(call.rstrip(b"\0").decode()),
            first=first, crashes=crashes, cursor=cursor, upto=upto, end=end, sequence=sequence, started=started,
            accepted=accepted, token=token.decode(), reply=Inbox(reply.decode()),
        )  # fmt: skip


def _unnamed_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("busfn-flight")
    fd, path = tempfile.mkstemp(prefix="busfn-flight-")
    os.unlink(path)
    return fd
