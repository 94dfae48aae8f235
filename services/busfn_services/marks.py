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
        done = self._finished(text)
        self._rest = text[done:]
        self._add(pieces, text[:done])
        return pieces

    def end(self) -> list[Piece]:
        """What is left when the pipe has ended."""
        pieces: list[Piece] = []
        self._add(pieces, self._rest)
        self._rest = b""
        return pieces

    def _finished(self, text: bytes) -> int:
        """How much of the text can go: whole lines, or nearly all of a line that is too long."""
        lines = text.rfind(b"\n") + 1
        if len(text) - lines <= MOST_HELD:
            return lines
        mark = text.find(b"\0", len(text) - _LONGEST_MARK)  # it may begin in these bytes and end in the next
        return mark if mark >= 0 else len(text)

    def _add(self, pieces: list[Piece], text: bytes) -> None:
        if not text:
            return
        if pieces and pieces[-1].owner == self._owner:
            text = pieces.pop().text + text
        pieces.append(Piece(self._owner, text))
