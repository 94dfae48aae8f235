"""What hosts tell of their workers: written by supervisors, read by controllers and by people. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

from busfn.errors import ProtocolError


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """One worker at one moment."""

    name: str
    pid: int
    app: str
    version: int
    function: str
    state: str
    """``starting``, ``ready``, ``draining`` or ``gone``."""
    busy: bool = False
    waiting: bool = False
    """All it does is wait for nested calls."""
    idle_for: float = 0.0
    """Seconds since it had nothing to do; 0 while it is busy."""
    held: int = 0
    """Deliveries that it has and did not settle yet."""
    deaf_for: float = 0.0
    """Seconds since the bus last answered it; a few are normal."""
    mean_run: float = 0.0
    """Seconds that a message takes on average; 0 before the first has finished."""
    running_for: float = 0.0
    """Seconds since the input that runs longest was started; 0 while none runs."""
    running: int = 0
    """Inputs that it runs now."""
    unstarted: int = 0
    """Messages that it has and did not start yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A worker that could not start."""

    app: str
    version: int
    function: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """All workers of a host."""

    host: str
    machine: str
    """Its name, for people."""
    cores: int
    workers: Sequence[WorkerReport] = ()
    failures: Sequence[Failure] = ()
    """Since the report before."""
    leaving: bool = False
    """It is being stopped: no worker can be started on it, and none is left soon."""

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> HostReport:
        """Reads what `encode` wrote; raises `ProtocolError`."""
        try:
            data = cast("dict[str, Any]", json.loads(body))
            known = _known(cls, data)
            known["workers"] = tuple(WorkerReport(**_known(WorkerReport, one)) for one in data["workers"])
            known["failures"] = tuple(Failure(**_known(Failure, one)) for one in data["failures"])
            return cls(**known)
        except (ValueError, KeyError, TypeError) as error:
            raise ProtocolError(f"a report of a host cannot be read: {body[:200]!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a controller, or a person, wants of a host."""

    op: str
    """``report``, ``start``, ``drain``, ``kill``, or ``ping``, which is not answered."""
    app: str = ""
    version: int = 0
    function: str = ""
    worker: str = ""
    epoch: int = 0
    """Of the controller that leads; a host does not obey one that led before another it has heard of. 0: a person."""

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> Command:
        """Reads what `encode` wrote; raises `ProtocolError`."""
        try:
            return cls(**_known(cls, json.loads(body)))
        except (ValueError, TypeError) as error:
            raise ProtocolError(f"a command cannot be read: {body[:200]!r}") from error


def _known(kind: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """What a newer busfn adds is left out."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in data.items() if name in names}
