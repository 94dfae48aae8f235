"""Marks in a worker's output that say which input printed what follows. Pure.

A worker's stdout and stderr are pipes that its children and C libraries write to as well. Before output of another
input than that of the last mark, the worker's Python streams write a mark; the supervisor takes the marks out again. A
mark holds a token that only the two know, so nothing that is printed can pass for one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_HELD = 64 * 1024
"""Bytes of an unfinished line that are kept back; a longer line is passed on in parts."""

MAX_REDRAWN = 4096
"""Bytes of a line's earlier states that are kept while it is drawn again and again."""

_LONGEST_MARK = 160
_CALL = re.compile(r"[0-9A-Za-z]{1,64}")


@dataclass(frozen=True, slots=True)
class Owner:
    """Who printed something."""

    call: str = "-"
    """``-`` when no input ran."""
    index: int = 0
    answered: bool = False
    """It tells of a failure that the input's caller has been answered with."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Output of one owner: whole lines, but for a line that was too long or interrupted."""

    owner: Owner
    text: bytes


NOBODY = Owner()


def mark(token: str, owner: Owner) -> bytes:
    """What the worker writes before output of another owner; an unusable call id counts as no call."""
    call, index = (owner.call, owner.index) if _CALL.fullmatch(owner.call) else (NOBODY.call, NOBODY.index)
    return b"%s%s %d%s\n" % (_beginning(token), call.encode(), index, b"!" if owner.answered else b"")


def _beginning(token: str) -> bytes:
    return b"\0busfn %s " % token.encode()


class MarkedOutput:
    """Takes marks out of the bytes of one pipe; what is kept back is bounded, whatever arrives."""

    def __init__(self, token: str) -> None:
        self._marks = re.compile(re.escape(_beginning(token)) + rb"([0-9A-Za-z]{1,64}|-) ([0-9]{1,18})(!?)\n")
        self._owner = NOBODY
        self._rest = b""

    def feed(self, data: bytes) -> list[Piece]:
        """What can be passed on after more bytes have arrived, in order."""
        text, *marked = self._marks.split(self._rest + data)
        pieces: list[Piece] = []
        for call, index, answered, following in zip(*(marked[i::4] for i in range(4)), strict=True):
            self._add(pieces, text)
            self._owner, text = Owner(call.decode(), int(index), bool(answered)), following
        lines = text.rfind(b"\n") + 1
        rest = _last_states(text[lines:])
        part = self._part(rest)
        self._add(pieces, text[:lines] + rest[:part])
        self._rest = rest[part:]
        return pieces

    @property
    def redrawn(self) -> Piece | None:
        """The line that is being drawn again and again, as far as it has come."""
        states = self._rest.rpartition(b"\0busfn ")[0] or self._rest
        return Piece(self._owner, states) if b"\r" in states else None

    def end(self) -> list[Piece]:
        """What is left when the pipe has ended."""
        pieces: list[Piece] = []
        self._add(pieces, self._rest)
        self._rest = b""
        return pieces

    def _part(self, line: bytes) -> int:
        """How much of an unfinished line has to go: nearly all of one that is too long."""
        if len(line) <= MOST_HELD:
            return 0
        mark = line.find(b"\0", len(line) - _LONGEST_MARK)  # it may begin in these bytes and end in the next
        return mark if mark >= 0 else len(line)

    def _add(self, pieces: list[Piece], text: bytes) -> None:
        if not text:
            return
        if pieces and pieces[-1].owner == self._owner:
            text = pieces.pop().text + text
        pieces.append(Piece(self._owner, text))


def _last_states(text: bytes) -> bytes:
    """An unfinished line without its earlier states, when they are many."""
    if len(text) <= MAX_REDRAWN:
        return text
    last = text.rfind(b"\r", 0, len(text) - 1)
    return text if last < 0 else text[last:]
