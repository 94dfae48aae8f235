"""Headers of calls and answers: one table of each, from which writing and reading are made.

What is written is read back, by whoever gets the message next, because both go through the same row. That holds for
foreign calls, too: the rows of a foreign call are those that a plain client may set, and only those are written on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
    """The attribute; of the payload, with a dot."""
    header: str
    default: Any
    write: Write
    read: Read
    foreign: bool = True
    """A plain NATS client may set it, and it stays on such a call; without the protocol it means nothing otherwise."""
    queued: bool = False
    """Only what lies in a stream has it, for those who hand on or try again write it; a plain call may not."""


class Fields:
    """Some rows of a table, in both directions."""

    def __init__(self, rows: Sequence[Field]) -> None:
        self._rows = tuple(rows)
        self._values: Callable[[Any], tuple[Any, ...]] = attrgetter(*(row.name for row in rows))
        self._defaults = tuple(row.default for row in rows)
        self._by_header = {row.header: row for row in rows} | {row.header.lower(): row for row in rows}

    def write(self, record: object, out: dict[str, str]) -> dict[str, str]:
        """Add the headers of a record to ``out``, and return it; defaults are left out."""
        for row, value, default in zip(self._rows, self._values(record), self._defaults, strict=True):
            if value != default:
                out[row.header] = row.write(value)
        return out

    def read(self, headers: Mapping[str, str], *, queued: bool = True) -> dict[str, Any]:
        """Values of the rows that are there; mostly few are. Names of headers are read in any case.

        Raises `ProtocolError`; also for a row that only queued messages have, unless this one is ``queued``.
        """
        found: dict[str, Any] = {}
        for header, text in headers.items():
            row = self._by_header.get(header) or self._by_header.get(header.lower())
            if row is None:
                continue
            if row.name in found:
                raise ProtocolError(f"{row.header} is there twice")
            if row.queued and not queued:
                raise ProtocolError(f"{row.header} is not for callers: it is busfn's own, on calls that it has queued")
            found[row.name] = row.read(row.header, text)
        return found


def _number(name: str, header: str, most: int, default: int = 0, **flags: bool) -> Field:
    return Field(name, header, default, str, lambda given, text: border.parse_number(given, text, most), **flags)


def _text(name: str, header: str, most: int, **flags: bool) -> Field:
    write = partial(_one_line, most)
    return Field(name, header, "", write, lambda given, text: border.parse_text(given, text, most), **flags)


def _one_line(most: int, text: str) -> str:
    return border.one_line(text, most)


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


def _took_text(seconds: float) -> str:
    return f"{min(seconds, border.MAX_SECONDS):.9f}"


CALL = Field("call", h.CALL, "", str, border.parse_call_id)
INDEX = _number("index", h.INDEX, border.MAX_INDEX, foreign=False)
COUNT = _number("count", h.COUNT, border.MOST_COUNT, foreign=False)

PAYLOAD = (
    _text("payload.content_type", h.CONTENT_TYPE, MAX_CONTENT_TYPE),
    _text("payload.signature", h.SIGNATURE, MAX_SIGNATURE, foreign=False),
    Field("payload.blob", h.BLOB, None, BlobRef.encode, lambda _, text: BlobRef.decode(text), foreign=False),
    Field("payload.reference", h.BLOB_REFERENCE, "", str, lambda _, text: check_reference(text), foreign=False),
)

CALLS = (
    CALL,
    *PAYLOAD,
    INDEX,
    COUNT,
    Field("select", h.SELECT, None, _range_text, _range, foreign=False),
    _number("attempt", h.ATTEMPT, border.MAX_ATTEMPT, 1, queued=True),
    _number("crashes", h.CRASHES, border.MAX_CRASHES),
    _number("deadline", h.DEADLINE, border.MAX_MOMENT),
    _number("not_before", h.NOT_BEFORE, border.MAX_MOMENT, queued=True),
    Field("reply", h.REPLY, border.NO_INBOX, partial(_one_line, border.MAX_INBOX), border.parse_inbox, queued=True),
    _text("parent", h.PARENT, MAX_PARENT, foreign=False),
    Field("path", h.PATH, (), _path_text, _path, foreign=False),
    Field("accept", h.ACCEPT, "", partial(_one_line, MAX_CONTENT_TYPE), _accepted),
    Field("trace", h.TRACE, "", partial(_one_line, MAX_TRACE), _trace),
)

ANSWERS = (
    CALL,
    *PAYLOAD,
    INDEX,
    COUNT,
    _text("worker", h.WORKER, MAX_WORKER),
    _text("function", h.FUNCTION, MAX_FUNCTION),
    _number("sequence", h.SEQUENCE, border.MAX_SEQUENCE),
    Field("took", h.TOOK, 0.0, _took_text, border.parse_seconds),
)

ERRORS = (
    _number("code", h.ERROR_CODE, MAX_CODE, -1),
    Field("text", h.ERROR, None, _error_text, lambda _, text: border.one_line(text, MOST_TEXT)),
)
"""Without defaults: an error always has both."""
