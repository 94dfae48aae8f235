"""What becomes of the messages that a dead worker held. Pure.

Interactive calls are the caller's to send again. Queued ones are put back here: what was answered is left out, what was
running comes back by itself with one crash more on its record, and the rest as it was. A message of which nothing was
started keeps its place in the queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from busfn.protocol.envelope import Call
from busfn.spec import LOST_LIMIT
from busfn_services.flight import Entry


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Parts of one message."""

    again: list[Call]
    """To be queued again."""
    failed: Call | None
    """The input that is given up."""
    release: bool = False
    """Nothing is queued again: the message itself is handed out again, before all that waits."""


def recover(call: Call, entry: Entry, *, hopeless: bool, released: int = 0) -> Verdicts:
    """Divide a queued message.

    ``hopeless`` when its running input was over its time: that is no crash, and there is no second try here.
    ``released``: how often it was handed out again after a crash, which its headers cannot tell.
    """
    low, high = call.select or (0, max(1, call.count))
    if entry.upto <= low and entry.end >= high:
        return Verdicts([], None, release=True)
    ran_alone = not call.count and entry.cursor < entry.upto
    crashes = call.crashes + released + 1
    if ran_alone and crashes < LOST_LIMIT and not (call.reply or hopeless):
        return Verdicts([], None, release=True)
    cursor = max(low, min(entry.cursor, high))
    upto = max(cursor, min(entry.upto, high))
    end = max(upto, min(entry.end, high))
    # After a crash inputs are started one by one: only the last ran, the ones before just had not sent their answers.
    running = max(cursor, upto - 1) if call.crashes else cursor
    finished, suspects, rest = (cursor, running), (running, upto), (upto, end)
    again: list[Call] = []
    failed: Call | None = None
    if finished[0] < finished[1]:
        again.append(_part(call, finished))
    if suspects[0] < suspects[1]:
        suspect = _part(call, suspects).copy(crashes=crashes)
        alone = suspects[1] - suspects[0] == 1
        if alone and (hopeless or crashes >= LOST_LIMIT):
            failed = suspect.copy(crashes=crashes - 1) if hopeless else suspect
        else:
            again.append(suspect)
    if rest[0] < rest[1]:
        again.append(_part(call, rest))
    return Verdicts(again, failed)


def blameless(entries: Sequence[Entry]) -> list[Entry]:
    """The records of a dead worker, with nothing running but what was started last.

    A body runs on while the outcome of the one before it is being stored: that one is done again, but is no suspect.
    """
    last = max((entry.started for entry in entries), default=0.0)
    return [entry if entry.started == last else replace(entry, upto=entry.cursor) for entry in entries]


def _part(call: Call, select: tuple[int, int]) -> Call:
    return call.copy(select=select) if call.count else call
