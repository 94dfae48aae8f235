"""What enters from outside becomes a checked type here, or is refused with `ProtocolError`.

What is behind a border takes only these types, so nothing there has to be checked again. Every number has a bound, and
every text a length.
"""

from __future__ import annotations

import re
from typing import NewType

from busfn.errors import ProtocolError

CallId = NewType("CallId", str)
"""1 to 32 ASCII letters and digits: a token of a subject, of a reference, of a key."""
Inbox = NewType("Inbox", str)
"""Where answers may go; empty for nowhere."""

NO_INBOX = Inbox("")
NO_CALL = CallId("")

MAX_ID = 32
MAX_INBOX = 256
"""Characters of a reply subject."""
MOST_COUNT = 1_000_000
"""Inputs in one message, or results."""
MAX_INDEX = (1 << 31) - 1
"""Place of an input in its call."""
MAX_ATTEMPT = 1_000_001
MAX_CRASHES = 1_000
MAX_SEQUENCE = 1 << 62
"""Place of a message in a stream."""
MAX_MOMENT = 253_402_300_799_999
"""Unix milliseconds: the end of the year 9999."""
MAX_SECONDS = 1e9
MAX_PATH = 128
"""Functions that wait for one another."""

# What follows the first token is the client's own; wildcards, spaces and control characters are in no subject.
_INBOX = re.compile(r"_INBOX[A-Za-z0-9_-]*(\.[!-)+,\-/-=?-~]+)+")
_SECONDS = re.compile(r"[0-9]{1,10}(\.[0-9]{1,15})?")


def is_call_id(text: str) -> bool:
    """Whether `parse_call_id` takes it."""
    return text.isascii() and text.isalnum() and len(text) <= MAX_ID


def parse_call_id(name: str, text: str) -> CallId:
    """A call's id; ``name`` says in the error what it was meant for."""
    if not (text.isascii() and text.isalnum() and len(text) <= MAX_ID):
        raise ProtocolError(f"{name} must be 1 to {MAX_ID} letters and digits, not {text[:50]!r}")
    return CallId(text)


def is_inbox(text: str) -> bool:
    """Whether `parse_inbox` takes it."""
    return len(text) <= MAX_INBOX and _INBOX.fullmatch(text) is not None


def parse_inbox(name: str, text: str) -> Inbox:
    """A reply subject below ``_INBOX``; empty stays empty.

    The server does not check a reply subject against the sender's permissions, so whoever asks could make us publish
    anywhere otherwise.
    """
    if text and not is_inbox(text):
        raise ProtocolError(f"{name} must be an inbox, not {text[:50]!r}")
    return Inbox(text)


def inbox_or_none(text: str) -> Inbox:
    """The inbox, or `NO_INBOX` for anything else: where nobody can be told."""
    return Inbox(text) if is_inbox(text) else NO_INBOX


def is_number(text: str, most: int) -> bool:
    """Whether it is a whole number from 0 to ``most``, in ASCII digits."""
    return text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= most


def parse_number(name: str, text: str, most: int) -> int:
    """A whole number from 0 to ``most``."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else -1
    if not 0 <= number <= most:
        raise ProtocolError(f"{name} must be a whole number up to {most}, not {text[:50]!r}")
    return number


def parse_seconds(name: str, text: str) -> float:
    """A number of seconds; empty is 0."""
    seconds = float(text or 0) if not text or _SECONDS.fullmatch(text) else -1.0
    if not 0 <= seconds <= MAX_SECONDS:
        raise ProtocolError(f"{name} must be a number of seconds, not {text[:50]!r}")
    return seconds


def parse_text(name: str, text: str, most: int) -> str:
    """A text of one line and at most ``most`` characters."""
    if len(text) > most or "\n" in text or "\r" in text:
        raise ProtocolError(f"{name} must be one line of at most {most} characters, not {text[:50]!r}")
    return text


def one_line(text: str, most: int) -> str:
    """What `parse_text` takes: line breaks become spaces, what UTF-8 cannot say is escaped, the rest is cut."""
    if text.isascii() and text.isprintable() and len(text) <= most:  # as nearly all are
        return text.strip()
    if "\n" in text or "\r" in text:
        text = " ".join(text.split())
    return text.encode("utf-8", "backslashreplace").decode()[:most].strip()


def one_line_of_ascii(text: str, most: int) -> str:
    """`one_line` for those who expect ASCII, with single spaces."""
    return " ".join(text.encode("ascii", "backslashreplace").decode().split())[:most]
