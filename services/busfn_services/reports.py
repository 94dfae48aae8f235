"""Messages between hosts, controllers and people: what hosts report of their workers, and what they are told. Pure.

All of them are bounded when they are written, and read strictly: one that breaks a bound is refused as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

from busfn.protocol.records import Count, Items, Path, Range, Seconds, Text, Token, read_record

MAX_WORKERS = 1000
"""Workers of a host; a report of so many fits into a message."""
MAX_CORES = 8192
MAX_EPOCH = 1 << 52
MAX_FAILURES = 24
"""Failed starts in a report; the newest are kept."""
MAX_TEXT = 4096
"""Characters of why a worker could not start; a longer text loses its middle."""
MAX_LOOPS = 64
MAX_TROUBLES = 32
"""Functions that cannot be started in a controller's report."""

Name = Annotated[str, Text(64, r"[A-Za-z0-9_-]+")]
Line = Annotated[str, Text(300, r"[^\x00-\x1f\x7f]*")]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """One worker at one moment."""

    name: Name
    pid: Count
    app: Token
    version: Count
    function: Path
    state: Name
    """``starting``, ``ready``, ``draining`` or ``gone``."""
    busy: bool = False
    waiting: bool = False
    """All it does is wait for nested calls."""
    idle_for: Seconds = 0.0
    """Seconds since it had nothing to do; 0 while it is busy."""
    held: Count = 0
    """Deliveries that it has and did not settle yet."""
    deaf_for: Seconds = 0.0
    """Seconds since the bus last answered it; a few are normal."""
    mean_run: Seconds = 0.0
    """Seconds that a message takes on average; 0 before the first has finished."""
    running_for: Seconds = 0.0
    """Seconds since the input that runs longest was started; 0 while none runs."""
    running: Count = 0
    """Inputs that it runs now."""
    unstarted: Count = 0
    """Messages that it has and did not start yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A worker that could not start."""

    app: Token
    version: Count
    function: Path
    text: Annotated[str, Text(MAX_TEXT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopReport:
    """An endless task of a process, or the one that is worst off of several with the same name."""

    name: Line
    age: Seconds = 0.0
    """Seconds by which its next turn is late."""
    limit: Seconds = 0.0
    """Seconds that are normal."""
    fault: Line = ""
    """What went wrong for one item lately, without ending the loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """All workers of a host."""

    host: Name
    machine: Line
    """Its name, for people."""
    cores: Annotated[int, Range(0, MAX_CORES)]
    workers: Annotated[Sequence[WorkerReport], Items(MAX_WORKERS)] = ()
    failures: Annotated[Sequence[Failure], Items(MAX_FAILURES)] = ()
    """Since the report before."""
    leaving: bool = False
    """It is being stopped: no worker can be started on it, and none is left soon."""
    loops: Annotated[Sequence[LoopReport], Items(MAX_LOOPS)] = ()

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> HostReport:
        """Reads what `encode` wrote; raises `ProtocolError`."""
        return read_record(cls, body, "a report of a host")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A function whose workers do not start."""

    app: Token
    version: Count
    function: Path
    failures: Count
    """Attempts in a row that have failed."""
    waiting: Count
    """Messages that no worker has taken."""
    text: Annotated[str, Text(MAX_TEXT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerReport:
    """The controller that leads."""

    troubles: Annotated[Sequence[Trouble], Items(MAX_TROUBLES)] = ()
    loops: Annotated[Sequence[LoopReport], Items(MAX_LOOPS)] = ()

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> ControllerReport:
        """Reads what `encode` wrote; raises `ProtocolError`."""
        return read_record(cls, body, "a report of a controller")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a controller, or a person, wants of a host."""

    op: Name
    """``report``, ``start``, ``drain``, ``kill``, or ``ping``, which is not answered."""
    app: Annotated[str, Text(160)] = ""
    version: Count = 0
    function: Annotated[str, Text(160)] = ""
    worker: Annotated[str, Text(64)] = ""
    epoch: Annotated[int, Range(0, MAX_EPOCH)] = 0
    """Of the controller that leads; a host obeys only the one that the lease names. 0: a person."""

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> Command:
        """Reads what `encode` wrote; raises `ProtocolError`."""
        return read_record(cls, body, "a command")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEvent:
    """What a worker tells its supervisor."""

    event: Name
    """``ready`` or ``failed``."""
    text: Annotated[str, Text(1 << 16)] = ""

    @classmethod
    def decode(cls, line: bytes) -> WorkerEvent:
        """Raises `ProtocolError`."""
        return read_record(cls, line, "an event of a worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkEvent:
    """What the fork server tells."""

    event: Name
    """``started`` or ``exited``."""
    worker: Name
    pid: Count = 0
    code: Annotated[int, Range(-1024, 1024)] = 0
    reason: Line = ""
    """Why a worker could not be started."""

    @classmethod
    def decode(cls, line: bytes) -> ForkEvent:
        """Raises `ProtocolError`."""
        return read_record(cls, line, "an event of the fork server")


def shorten(text: str, most: int = MAX_TEXT) -> str:
    """The text, without its middle when it is too long, and without half surrogates."""
    text = text.encode(errors="replace").decode()
    if len(text) <= most:
        return text
    cut = "\n[...]\n"
    half = (most - len(cut)) // 2
    return text[:half] + cut + text[-half:]


def one_line(text: str, most: int = 300) -> str:
    """The text as a `Line`."""
    plain = "".join(char if char.isprintable() else " " for char in text.encode(errors="replace").decode())
    return " ".join(plain.split())[:most]
