"""The life of a worker process: connect, import, serve one function, drain, exit.

The main thread imports and runs user code; the loop thread does all I/O. The supervisor is at the other end of a
socket: one JSON object a line; when the socket closes, the supervisor is gone and so is our purpose.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from busfn.binding import DEFAULT
from busfn.client import Client, ClientOptions, open_bus
from busfn.config import BusAddress
from busfn.context import WORKER_VARIABLE, CurrentInput, Nesting
from busfn.spec import FunctionSpec
from busfn.sync import LoopThread
from busfn.tracebacks import user_traceback
from busfn_services.flight import FlightTable
from busfn_services.ours import is_framework_file
from busfn_services.process import end_on_fault
from busfn_services.reports import shorten
from busfn_services.worker.discovery import Discovery
from busfn_services.worker.executor import Executor
from busfn_services.worker.forkguard import ForkGuard
from busfn_services.worker.intake import Intake
from busfn_services.worker.load import load_function
from busfn_services.worker.mainloop import Jobs, Stop, serve
from busfn_services.worker.output import Output

EXIT_PATIENCE = 5.0
"""Seconds from the last input to the end of the process."""
EXIT_OK = 0
EXIT_STARTUP = 3
EXIT_ORPHANED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What a supervisor tells a new worker."""

    worker: str
    inbox: str
    """Where its deliveries come."""
    spec: FunctionSpec
    address: BusAddress
    env: str
    key: bytes | None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WorkerConfig:
        """From the supervisor's JSON."""
        return cls(
            worker=data["worker"],
            inbox=data["inbox"],
            spec=FunctionSpec.from_dict(data["spec"]),
            address=BusAddress.from_dict(data["address"]),
            env=data["env"],
            key=bytes.fromhex(data["key"]) or None,
        )


class SupervisorLink:
    """The worker's end of the socket to its supervisor."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()

    def tell(self, **event: object) -> None:
        """Report something."""
        with self._lock:
            self._socket.sendall(json.dumps(event).encode() + b"\n")

    def abandon(self) -> None:
        """In a forked child: the link is its parent's."""
        if self._socket.fileno() >= 0:
            os.close(self._socket.detach())

    def listen(self, on_drain: Callable[[], None]) -> None:
        """Obey commands, on a thread of its own; ends the process when the supervisor is gone."""
        threading.Thread(target=self._listen, args=(on_drain,), name="busfn-commands", daemon=True).start()

    def _listen(self, on_drain: Callable[[], None]) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                if json.loads(line)["op"] == "drain":
                    on_drain()
        os._exit(EXIT_ORPHANED)


class WorkerNesting(Nesting):
    """Counts waits of bodies for calls of their own, for the supervisor to see."""

    __slots__ = ("_count", "_lock", "_pid", "_table", "executor")

    def __init__(self, table: FlightTable) -> None:
        self._table = table
        self._lock = threading.Lock()
        self._count = 0
        self._pid = os.getpid()
        self.executor: Executor | None = None
        """Knows what runs; None while nothing can."""

    def running(self) -> CurrentInput | None:
        return self.executor.current if self.executor is not None else None

    def begin(self) -> None:
        self._change(1)

    def end(self) -> None:
        self._change(-1)

    def __enter__(self) -> None:
        self._change(1)

    def __exit__(self, *_: object) -> None:
        self._change(-1)

    def _change(self, by: int) -> None:
        if os.getpid() != self._pid:  # a child that a body has forked must not touch the table
            return
        with self._lock:
            self._count += by
            self._table.set_waiting(self._count)


def run_worker(config: WorkerConfig, sock: socket.socket, table: FlightTable, output: Output) -> int:
    """The whole life of the process; returns its exit code."""
    os.environ[WORKER_VARIABLE] = config.worker
    os.environ["BUSFN_ENV"] = config.env
    os.environ.update(config.spec.env)
    supervisor, guard = SupervisorLink(sock), ForkGuard()
    guard.watch(supervisor.abandon, table.abandon)
    portal = LoopThread()
    end_on_fault(portal.loop)
    nesting = WorkerNesting(table)
    options = ClientOptions(address=config.address, env=config.env, key=config.key, name=config.worker, nesting=nesting)
    connecting = portal.submit(open_bus(options))
    try:
        loaded = load_function(config.spec, config.key)
        guard.leave_if_child()
        client = Client.on(options, portal, connecting.wait())
    except BaseException as error:
        if guard.is_child:
            guard.leave(error)
        supervisor.tell(event="failed", text=shorten(user_traceback(error, is_framework_file)))
        return EXIT_STARTUP
    loaded.bind(client, config.spec.app)
    DEFAULT.client = DEFAULT.worker = client
    raw = loaded.function.get_raw_f()
    executor = Executor(config.spec, raw, client.link.codecs, config.worker, guard, output.report)
    output.follow(executor)
    nesting.executor = executor
    return _serve(config, client, executor, table, supervisor)


def _serve(
    config: WorkerConfig, client: Client, executor: Executor, table: FlightTable, supervisor: SupervisorLink
) -> int:
    jobs = Jobs()
    intake = Intake(client.link, config.spec, table, jobs, config.worker, config.inbox)
    discovery = Discovery(client.link, config.spec, config.worker, executor.raw, intake.outbox.stats)

    async def drain() -> None:
        await discovery.stop()
        await intake.leave()
        jobs.put(Stop())

    leave = _Once(lambda: client.link.portal.submit(drain()))
    if config.spec.single_use_containers:
        intake.on_finished = leave
    client.link.portal.run(_join(intake, discovery))
    supervisor.listen(leave)
    supervisor.tell(event="ready")
    serve(executor, intake.outbox, jobs)
    client.close()
    _end_soon()
    return EXIT_OK


def _end_soon() -> None:
    """The interpreter waits for threads and processes of user code that do not end: not for ever."""
    timer = threading.Timer(EXIT_PATIENCE, os._exit, (EXIT_OK,))
    timer.daemon = True
    timer.start()


class _Once:
    """Calls a function the first time only."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self._lock = threading.Lock()
        self._done = False

    def __call__(self) -> None:
        with self._lock:
            first, self._done = not self._done, True
        if first:
            self._action()


async def _join(intake: Intake, discovery: Discovery) -> None:
    await intake.start()
    await discovery.start()
