"""The text of the NATS protocol: frames we write, messages we read."""

from __future__ import annotations

import re
from functools import lru_cache

from busfn.bus.base import Headers
from busfn.errors import InvalidError

CRLF = b"\r\n"
PING = b"PING\r\n"
PONG = b"PONG\r\n"

NO_RESPONDERS = "503"

_VERSION = b"NATS/1.0"
_PLAIN_SUBJECT = re.compile(r"[^\s.\0]+(?:\.[^\s.\0]+)*")
_PATTERN_TOKEN = re.compile(r"[^\s.*>\0]+|\*")
_QUEUE = re.compile(r"[^\s*>\0]+")
_HEADER_KEY = re.compile(r"[!-9;-~]+")  # printable ASCII but for the colon


class Inbound:
    """A message as it arrived; headers are parsed on first use."""

    __slots__ = ("_block", "_headers", "body", "reply", "subject")

    def __init__(self, subject: str, reply: str, body: bytes, block: bytes = b"") -> None:
        self.subject = subject
        self.reply = reply
        self.body = body
        self._block = block
        self._headers: dict[str, str] | None = None

    @property
    def headers(self) -> Headers:
        """Header names to values; a status line appears as ``Status`` and ``Description``."""
        if self._headers is None:
            self._headers = parse_headers(self._block) if self._block else {}
        return self._headers

    @property
    def status(self) -> str:
        """The three digits of a status line, empty on ordinary messages."""
        return self._block[9:12].decode("ascii", "replace") if self._block[8:9] == b" " else ""

    def __repr__(self) -> str:
        return f"Inbound({self.subject!r}, reply={self.reply!r}, {len(self.body)} bytes)"


def parse_headers(block: bytes) -> dict[str, str]:
    """Read a header block, the status line included."""
    lines = block.decode("utf-8", "replace").split("\r\n")
    headers: dict[str, str] = {}
    if len(lines[0]) > 8:
        status, _, description = lines[0][8:].strip().partition(" ")
        headers["Status"] = status
        if description:
            headers["Description"] = description.strip()
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    return headers


def encode_headers(headers: Headers) -> bytes:
    """Write a header block; raises `InvalidError` for names or values that would break the protocol."""
    _check_names(tuple(headers))
    text = "NATS/1.0\r\n" + "".join([f"{name}: {value}\r\n" for name, value in headers.items()]) + "\r\n"
    breaks = len(headers) + 2
    if text.count("\n") != breaks or text.count("\r") != breaks:
        raise InvalidError("a header value must not contain a line break")
    return text.encode()


@lru_cache(maxsize=1024)
def _check_names(names: tuple[str, ...]) -> None:
    """Most messages have one of a few sets of headers."""
    for name in names:
        if _HEADER_KEY.fullmatch(name) is None:
            raise InvalidError(f"not a header name: {name!r}")


def publish_frame(subject: str, reply: str, block: bytes, body: bytes) -> bytes:
    """A PUB or HPUB; raises `InvalidError` for subjects that would break the protocol."""
    _check_subject(subject)
    if reply and _PLAIN_SUBJECT.fullmatch(reply) is None:
        raise InvalidError(f"not a reply subject: {reply!r}")
    if block:
        return f"HPUB {subject} {reply} {len(block)} {len(block) + len(body)}\r\n".encode() + block + body + CRLF
    return f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + CRLF


@lru_cache(maxsize=1024)
def _check_subject(subject: str) -> None:
    """Calls of a function and messages of a map all go to one."""
    if _PLAIN_SUBJECT.fullmatch(subject) is None:
        raise InvalidError(f"not a subject to publish to: {subject!r}")


def is_publish(frame: bytes) -> bool:
    """Whether the frame carries a message, rather than a command bound to one connection."""
    return frame.startswith((b"PUB ", b"HPUB "))


def subscribe_frame(subject: str, queue: str, sid: int) -> bytes:
    """A SUB."""
    return f"SUB {subject} {queue} {sid}\r\n".encode()


def unsubscribe_frame(sid: int) -> bytes:
    """An UNSUB that takes effect at once."""
    return f"UNSUB {sid}\r\n".encode()


def check_pattern(subject: str, queue: str = "") -> None:
    """Raise `InvalidError` unless the server takes this subject, wildcards allowed, and this queue group."""
    tokens = subject.split(".")
    last = tokens.pop() if tokens[-1] == ">" else ""
    if not (tokens or last) or any(_PATTERN_TOKEN.fullmatch(token) is None for token in tokens):
        raise InvalidError(f"not a subject: {subject!r}")
    if queue and _QUEUE.fullmatch(queue) is None:
        raise InvalidError(f"not a queue group: {queue!r}")
