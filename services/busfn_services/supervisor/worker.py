"""A worker process as its supervisor knows it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from busfn.spec import FunctionSpec
from busfn_services.flight import SLOTS, Entry, FlightTable
from busfn_services.supervisor.deliveries import Deliveries
from busfn_services.supervisor.hearing import Hearing
from busfn_services.supervisor.watch import Watch


class State(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    GONE = "gone"


LEAVE_PATIENCE = 1.0
"""Seconds a server may take to hear that we do not watch a worker's deliveries any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a worker has to do."""

    busy: bool = False
    waiting: bool = False
    """It waits for a nested call."""
    idle_for: float = 0.0
    """Seconds since it had nothing to do; 0 while it has."""
    held: int = 0
    """Deliveries that are not settled."""
    deaf_for: float = 0.0
    """Seconds since the bus last answered it."""
    mean_run: float = 0.0
    """Seconds that a message takes on average; 0 before the first has finished."""
    running_for: float = 0.0
    """Seconds since the input that runs longest was started; 0 while none runs."""
    running: int = 0
    """Inputs that it runs; one that was just taken counts."""
    unstarted: int = 0
    """Messages of which no input was started."""


@dataclass(eq=False)
class Worker:
    """One worker process."""

    name: str
    spec: FunctionSpec
    table: FlightTable
    socket: socket.socket
    deliveries: Deliveries
    since: float
    state: State = State.STARTING
    pid: int = 0
    failure: str = ""
    """Why it could not start."""
    killed_for: Entry | None = None
    """The input for whose sake it was killed, when it was over its time."""
    dismissed: bool = False
    """Its end is wanted, however it comes."""
    deaf: bool = False
    """It was killed because it did not hear the bus."""
    idle_since: float = 0.0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    watch: Watch = field(init=False)
    hearing: Hearing = field(default_factory=Hearing)
    _draining: asyncio.Future[None] | None = None

    def __post_init__(self) -> None:
        self.watch = Watch(self.spec.timeout)

    def load(self) -> Load:
        """What it has to do now."""
        if self.state is State.GONE:
            return Load()
        table, now = self.table.occupancy(), time.monotonic()
        return Load(
            busy=table.messages > 0,
            waiting=self.table.waiting > 0,
            idle_for=now - self.idle_since if self.idle_since else 0.0,
            deaf_for=now - self.table.heard if self.table.heard else 0.0,
            held=table.queued,
            mean_run=self.table.mean,
            running_for=now - table.since if table.since else 0.0,
            running=min(table.messages, SLOTS),
            unstarted=table.unstarted,
        )

    def drain(self) -> None:
        """Ask it to finish what it has and leave."""
        if self.state in (State.STARTING, State.READY):
            self.state = State.DRAINING
            self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        leaving = asyncio.ensure_future(self.deliveries.leave())
        await asyncio.wait({leaving}, timeout=LEAVE_PATIENCE)
        self._tell({"op": "drain"})

    def started(self, pid: int) -> None:
        """Its process is there."""
        self.pid = pid
        if self.dismissed:
            self.signal(signal.SIGKILL)

    def kill(self) -> None:
        """End it now, with all that it has started; what it ran is run again elsewhere."""
        self.dismissed = True
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it still runs; what it has started gets none."""
        if self.pid and self.state is not State.GONE:
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(self.pid, number)

    def _tell(self, message: dict[str, str]) -> None:
        try:
            self.socket.send(json.dumps(message).encode() + b"\n")
        except OSError:  # it is on its way out already
            return
