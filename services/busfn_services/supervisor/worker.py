"""A worker process as its supervisor knows it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from busfn.spec import FunctionSpec
from busfn_services.flight import Entry, FlightTable
from busfn_services.supervisor.watch import Watch


class State(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    GONE = "gone"


@dataclass(eq=False)
class Worker:
    """One worker process."""

    name: str
    spec: FunctionSpec
    table: FlightTable
    socket: socket.socket
    since: float
    state: State = State.STARTING
    pid: int = 0
    failure: str = ""
    """Why it could not start."""
    killed_for: Entry | None = None
    """The input for whose sake it was killed, when it was over its time."""
    dismissed: bool = False
    """Its end is wanted, however it comes."""
    idle_since: float = 0.0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = Watch(self.spec.timeout)

    @property
    def busy(self) -> int:
        """Messages it holds."""
        return sum(1 for _ in self.table.entries())

    @property
    def waiting(self) -> bool:
        """Whether it only waits for a nested call."""
        return self.table.waiting > 0

    def drain(self) -> None:
        """Ask it to finish what it has and leave."""
        if self.state in (State.STARTING, State.READY):
            self.state = State.DRAINING
            self._tell({"op": "drain"})

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it still runs."""
        if self.pid and self.state is not State.GONE:
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(self.pid, number)

    def _tell(self, message: dict[str, str]) -> None:
        try:
            self.socket.send(json.dumps(message).encode() + b"\n")
        except OSError:  # it is on its way out already
            return
