"""What workers are told beside calls: a generator's consumer grants credit or stops it; anybody cancels; a controller
stands in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Annotated

from busfn.errors import ProtocolError
from busfn.protocol.border import CallId, is_call_id
from busfn.protocol.records import Count, Text, read_record

CREDIT = "Busfn-Credit"
CANCEL = "Busfn-Cancel"

MAX_CANCELLATION = 64
"""Bytes of one."""

_NUMBERS = re.compile(r"([0-9]{1,18}),([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Control:
    """A word from the consumer."""

    items: int = 0
    size: int = 0
    cancel: bool = False


def credit_headers(items: int, size: int) -> dict[str, str]:
    """Allow so many more items and bytes."""
    return {CREDIT: f"{items},{size}"}


def cancel_headers() -> dict[str, str]:
    """Close the generator."""
    return {CANCEL: "1"}


class Cover(Enum):
    """What a controller tells the workers of a function, again and again, while it takes their calls."""

    STANDS = b"stands"
    OVER = b"over"

    @classmethod
    def decode(cls, body: bytes) -> Cover:
        """Reads a value's bytes; raises `ProtocolError` for all others."""
        try:
            return cls(body)
        except ValueError as error:
            raise ProtocolError(
                f"{body[:60]!r} says neither that a controller stands in nor that it does no more"
            ) from error


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A durable call that shall not go on."""

    call: CallId
    terminate: bool = False
    """Do not wait until its bodies react: kill their workers."""

    def encode(self) -> bytes:
        """As it is published to the function's control subject."""
        return f"{self.call} {'terminate' if self.terminate else 'stop'}".encode()

    @classmethod
    def decode(cls, body: bytes) -> Cancellation:
        """Reads `encode`'s bytes; raises `ProtocolError`."""
        call, _, how = body[:MAX_CANCELLATION].decode("ascii", "replace").partition(" ")
        if not is_call_id(call) or how not in ("stop", "terminate"):
            raise ProtocolError(f"{body[:60]!r} is no cancellation")
        return cls(CallId(call), how == "terminate")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailure:
    """Told to those who wait for a function's calls while its workers do not start."""

    failures: Count
    """Attempts in a row that have failed."""
    text: Annotated[str, Text(1 << 16)]
    """Why the last one did."""

    def encode(self) -> bytes:
        """As it is published."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> StartFailure:
        """Reads `encode`'s bytes; raises `ProtocolError`."""
        return read_record(cls, body, "a failure to start")


def read_control(headers: Mapping[str, str]) -> Control:
    """Reads either; a 503 status (nobody listens to our frames any more) counts as a cancel. Raises `ProtocolError`."""
    if CANCEL in headers or headers.get("Status") == "503":
        return Control(cancel=True)
    text = headers.get(CREDIT, "")
    found = _NUMBERS.fullmatch(text)
    if found is None:
        raise ProtocolError(f"{CREDIT} must be two numbers, not {text[:50]!r}")
    return Control(items=int(found[1]), size=int(found[2]))
