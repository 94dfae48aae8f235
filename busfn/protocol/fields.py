"""Headers of calls and answers: one table of each, from which writing and reading are made.

What is written is read back, by whoever gets the message next, because both go through the same row. That holds for
foreign calls, too: the rows of a foreign call are those that a plain client may set, and only those are written on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any

from busfn.errors import ProtocolError
from busfn.protocol import border
from busfn.protocol import headers as h
from busfn.protocol.codecs import JSON, MSGPACK, BlobRef, check_reference

Write = Callable[[Any], str]
Read = Callable[[str, str], Any]

MOST_TEXT = 500
"""Characters of an error's text that go into a header."""
KNOWN = 256
"""Texts of a kind that need not be looked at again."""
MAX_CODE = 999
MAX_WORKER = 64
MAX_PARENT = 64
MAX_SIGNATURE = 128
MAX_FUNCTION = 500
MAX_CONTENT_TYPE = 200
MAX_TRACE = 256
MAX_PATH_TEXT = border.MAX_PATH * 200


@dataclass(frozen=True, slots=True)
class Field:
    """A row: one attribute in one header."""

    name: str
    """The attribute."""
    header: str
    default: Any
    write: Write
    read: Read
    foreign: bool = True
    """A plain NATS client may set it, and it stays on such a call; without the protocol it means nothing otherwise."""
    queued: bool = False
    """Only what lies in a stream has it, for those who hand on or try again write it; a plain call may not."""
    usual: bool = False
    """Most messages have it."""


class Fields:
    """Some rows of a table, in both directions.

    Every message is written and read here, so rows that mostly have their defaults are passed over together.
    """

    def __init__(self, rows: Sequence[Field], payload: Sequence[Field] = ()) -> None:
        """``payload`` are rows of the record's payload, which are read along with the others."""
        self._usual = [row for row in rows if row.usual]
        rare = [row for row in rows if not row.usual]
        self._rare = tuple(rare)
        self._values: Callable[[Any], object] = attrgetter(*(row.name for row in rare)) if rare else _nothing
        defaults = tuple(row.default for row in rare)
        self._defaults: object = defaults if len(defaults) > 1 else defaults[0] if defaults else None
        self._by_header = {row.header: (row.name, row.read) for row in (*payload, *rows)}
        self._by_lower = {row.header.lower(): row.header for row in (*payload, *rows)}
        self._queued = {row.name: row.header for row in rows if row.queued}

    def write(self, record: object, out: dict[str, str]) -> dict[str, str]:
        """Add the headers of a record to ``out``, and return it; defaults are left out."""
        for row in self._usual:
            value = getattr(record, row.name)
            if value != row.default:
                out[row.header] = row.write(value)
        if self._values(record) != self._defaults:
            for row in self._rare:
                value = getattr(record, row.name)
                if value != row.default:
                    out[row.header] = row.write(value)
        return out

    def read(self, headers: Mapping[str, str], *, queued: bool = True) -> dict[str, Any]:
        """Values of the rows that are there; mostly few are. Names of headers are read in any case.

        Raises `ProtocolError`; also for a row that only queued messages have, unless this one is ``queued``.
        """
        found: dict[str, Any] = {}
        get = self._by_header.get
        for header, text in headers.items():
            row = get(header)
            if row is not None:
                found[row[0]] = row[1](header, text)
            elif (name := self._by_lower.get(header.lower())) is not None:
                self._read_odd(found, headers, name, text)
        if not queued:
            self._refuse_queued(found)
        return found

    def _read_odd(self, found: dict[str, Any], headers: Mapping[str, str], header: str, text: str) -> None:
        """A header whose name is written in another way."""
        name, read = self._by_header[header]
        if name in found or header in headers:
            raise ProtocolError(f"{header} is there twice")
        found[name] = read(header, text)

    def _refuse_queued(self, found: Mapping[str, Any]) -> None:
        for name, header in self._queued.items():
            if name in found:
                raise ProtocolError(f"{header} is not for callers: it is busfn's own, on calls that it has queued")


def _nothing(_: Any) -> None:
    """There are no such rows."""


def _number(name: str, header: str, most: int, default: int = 0, **flags: bool) -> Field:
    return Field(name, header, default, str, partial(border.parse_number, most=most), **flags)


def _text(name: str, header: str, most: int, **flags: bool) -> Field:
    write, read = partial(border.one_line, most=most), partial(border.parse_text, most=most)
    if flags.get("usual"):  # most messages have one of a few
        return Field(name, header, "", lru_cache(KNOWN)(write), lru_cache(KNOWN)(read), **flags)
    return Field(name, header, "", write, read, **flags)


def _error_text(text: str) -> str:
    return border.one_line_of_ascii(text, MOST_TEXT)


def _trace(_name: str, text: str) -> str:
    """One that cannot be read is left out, as the W3C wants it: no reason to refuse a call."""
    return text if len(text) <= MAX_TRACE and text.isascii() and text.isprintable() else ""


def _accepted(_name: str, text: str) -> str:
    """The first type of an ``Accept`` header that we can write; empty to answer in kind."""
    kinds = (part.partition(";")[0].strip().lower() for part in text.split(","))
    return next((kind for kind in kinds if kind in (JSON, MSGPACK)), "")


def _path(name: str, text: str) -> tuple[str, ...]:
    found = border.parse_text(name, text, MAX_PATH_TEXT).split("/") if text else []
    if len(found) > border.MAX_PATH:
        raise ProtocolError(f"{name} names {len(found)} functions, more than {border.MAX_PATH}")
    return tuple(found)


def _path_text(path: Sequence[str]) -> str:
    return border.one_line("/".join(path), MAX_PATH_TEXT)


def _range(name: str, text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    low, high = border.parse_number(name, first, border.MOST_COUNT), border.parse_number(name, last, border.MOST_COUNT)
    if not colon or not low < high:
        raise ProtocolError(f"{name} must be a range like 0:5, not {text[:50]!r}")
    return low, high


def _range_text(select: tuple[int, int]) -> str:
    return f"{select[0]}:{select[1]}"


def _inbox_text(inbox: str) -> str:
    return border.one_line(inbox, border.MAX_INBOX)


def _took_text(seconds: float) -> str:
    return f"{min(seconds, border.MAX_SECONDS):.9f}"


CALL = Field("call", h.CALL, "", str, border.parse_call_id, usual=True)
INDEX = _number("index", h.INDEX, border.MAX_INDEX, foreign=False)
COUNT = _number("count", h.COUNT, border.MOST_COUNT, foreign=False)

PAYLOAD = (
    _text("content_type", h.CONTENT_TYPE, MAX_CONTENT_TYPE, usual=True),
    _text("signature", h.SIGNATURE, MAX_SIGNATURE, foreign=False),
    Field("blob", h.BLOB, None, BlobRef.encode, lambda _, text: BlobRef.decode(text), foreign=False),
    Field("reference", h.BLOB_REFERENCE, "", str, lambda _, text: check_reference(text), foreign=False),
)

CALLS = (
    CALL,
    INDEX,
    COUNT,
    Field("select", h.SELECT, None, _range_text, _range, foreign=False),
    _number("attempt", h.ATTEMPT, border.MAX_ATTEMPT, 1, queued=True),
    _number("crashes", h.CRASHES, border.MAX_CRASHES),
    _number("deadline", h.DEADLINE, border.MAX_MOMENT),
    _number("not_before", h.NOT_BEFORE, border.MAX_MOMENT, queued=True),
    Field("reply", h.REPLY, border.NO_INBOX, _inbox_text, border.parse_inbox, queued=True),
    _text("parent", h.PARENT, MAX_PARENT, foreign=False),
    Field("path", h.PATH, (), _path_text, _path, foreign=False),
    Field("accept", h.ACCEPT, "", partial(border.one_line, most=MAX_CONTENT_TYPE), _accepted),
    Field("trace", h.TRACE, "", partial(border.one_line, most=MAX_TRACE), _trace),
)

ANSWERS = (
    CALL,
    INDEX,
    COUNT,
    _text("worker", h.WORKER, MAX_WORKER, usual=True),
    _text("function", h.FUNCTION, MAX_FUNCTION),
    _number("sequence", h.SEQUENCE, border.MAX_SEQUENCE),
    Field("took", h.TOOK, 0.0, _took_text, border.parse_seconds, usual=True),
)

ERRORS = (
    _number("code", h.ERROR_CODE, MAX_CODE, -1),
    Field("text", h.ERROR, None, _error_text, lambda _, text: border.one_line(text, MOST_TEXT)),
)
"""Without defaults: an error always has both."""
