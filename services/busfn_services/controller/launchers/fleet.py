"""Workers on hosts that are reached over the bus: known by what the hosts report, started and drained by command.

A worker that was asked for and not yet reported counts as starting, so nothing is asked for twice. Hosts outlive
controllers: whoever leads next learns from their reports what runs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from busfn.bus.base import Bus, Channel, Message
from busfn.errors import Error
from busfn.protocol.subjects import Subjects
from busfn.spec import FunctionSpec
from busfn_services.controller.policy import Phase, WorkerView
from busfn_services.reports import Command, HostReport, WorkerReport

SILENT = 5.0
"""Seconds without a report after which a host counts as gone; reports come every second."""
PING_EVERY = 0.25
"""Seconds between pings of a host: the server answers for one whose connection is gone, however it died."""
SETTLING = 1.2
"""Seconds in which every host has reported once."""
START_TIMEOUT = 30.0
"""Seconds a host may take to fetch the code and start a worker."""

logger = logging.getLogger("busfn.fleet")


class Listener(Protocol):
    """Who wants to know of workers; ``token`` is the app as subjects have it."""

    def changed(self, token: str, function: str) -> None: ...
    def ready(self, token: str, function: str) -> None: ...
    def failed(self, token: str, function: str, version: int, text: str) -> None: ...


@dataclass(slots=True)
class _Host:
    report: HostReport
    heard: float
    pings: Channel
    """Hears from the server that nobody listens there any more."""


class Fleet:
    """A `Launcher` over all hosts of an environment; use it with ``async with``."""

    def __init__(self, bus: Bus, subjects: Subjects, listener: Listener, epoch: Callable[[], int]) -> None:
        self._bus = bus
        self._subjects = subjects
        self._listener = listener
        self._epoch = epoch
        self._hosts: dict[str, _Host] = {}
        self._asked: dict[int, tuple[str, FunctionSpec]] = {}
        self._stopping: set[str] = set()
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._since = time.monotonic()

    async def __aenter__(self) -> Fleet:
        await self._bus.subscribe(self._subjects.report("*"), self._on_report)
        self.settle()
        self._spawn(self._ping())
        return self

    def settle(self) -> None:
        """Have all hosts report: we have just come, or were away."""
        self._bus.publish(self._subjects.command("all"), Command(op="report").encode())
        self._since = time.monotonic()

    async def __aexit__(self, *_: object) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def unsettled_for(self) -> float:
        """Seconds until all hosts have had the time to report: before, we do not know what runs."""
        return max(0.0, self._since + SETTLING - time.monotonic())

    @property
    def hosts(self) -> list[HostReport]:
        """The hosts that are alive."""
        before = time.monotonic() - SILENT
        return [host.report for host in self._hosts.values() if host.heard >= before]

    @property
    def cores(self) -> int:
        return sum(report.cores for report in self.hosts)

    def workers(self, spec: FunctionSpec) -> tuple[WorkerView, ...]:
        now = time.monotonic()
        before = now - SILENT
        alive = [host for host in self._hosts.values() if host.heard >= before]
        known = [
            self._view(worker, now - host.heard)
            for host in alive
            for worker in host.report.workers
            if (worker.app, worker.function) == (spec.app, spec.name)
        ]
        asked = [
            WorkerView(f"asked-{number}", Phase.STARTING, version=wanted.version)
            for number, (_, wanted) in self._asked.items()
            if wanted.label == spec.label
        ]
        return (*known, *asked)

    def start(self, spec: FunctionSpec) -> None:
        host = self._roomiest()
        if host is None:
            logger.warning("%s: there is no host to start a worker on", spec.label)
            return
        self._number += 1
        self._asked[self._number] = host, spec
        self._spawn(self._start(host, self._number, spec))

    def stop(self, name: str) -> None:
        for host in self.hosts:
            if any(worker.name == name for worker in host.workers):
                self._stopping.add(name)
                command = Command(op="drain", worker=name, epoch=self._epoch())
                self._bus.publish(self._subjects.command(host.host), command.encode())

    def _roomiest(self) -> str | None:
        """The host with the fewest workers for its cores, those counted that it was asked for and did not report."""
        asked = Counter(host for host, _ in self._asked.values())
        takers = [host for host in self.hosts if not host.leaving]
        loads = {host.host: (len(host.workers) + asked[host.host]) / max(1, host.cores) for host in takers}
        return min(loads, key=loads.__getitem__, default=None)

    async def _start(self, host: str, number: int, spec: FunctionSpec) -> None:
        command = Command(op="start", app=spec.app, version=spec.version, function=spec.name, epoch=self._epoch())
        try:
            answer = await self._bus.request(self._subjects.command(host), command.encode(), timeout=START_TIMEOUT)
            if text := answer.headers.get("Busfn-Error"):
                logger.warning("%s: host %s starts no worker: %s", spec.label, host, text)
            self._take(HostReport.decode(answer.body))
        except Error as error:
            logger.warning("%s: host %s starts no worker: %s", spec.label, host, error)
        finally:
            del self._asked[number]
            self._listener.changed(spec.app, spec.name)

    def _on_report(self, message: Message) -> None:
        try:
            self._take(HostReport.decode(message.body))
        except Error as error:
            logger.warning("%s", error)

    def _take(self, report: HostReport) -> None:
        known = self._hosts.get(report.host)
        before = {worker.name: worker for worker in known.report.workers} if known else {}
        if report.leaving and not report.workers:
            self._forget(report.host)
        elif known is not None:
            known.report, known.heard = report, time.monotonic()
        else:
            pings = self._bus.channel(partial(self._on_silence, report.host))
            self._hosts[report.host] = _Host(report, time.monotonic(), pings)
        self._tell(before, {worker.name: worker for worker in report.workers})
        for failure in report.failures:
            self._listener.failed(failure.app, failure.function, failure.version, failure.text)

    async def _ping(self) -> None:
        command = Command(op="ping").encode()
        while True:
            await asyncio.sleep(PING_EVERY)
            for name, host in self._hosts.items():
                if host.report.workers and self._bus.connected:
                    self._bus.publish(self._subjects.command(name), command, reply=host.pings.subject)

    def _on_silence(self, name: str, message: Message) -> None:
        host = self._hosts.get(name)
        if host is not None and message.status == "503":
            logger.warning("host %s (%s) is gone, with %d workers", name, host.report.machine, len(host.report.workers))
            self._forget(name)
            self._tell({worker.name: worker for worker in host.report.workers}, {})

    def _forget(self, name: str) -> None:
        host = self._hosts.pop(name, None)
        if host is not None:
            host.pings.close()

    def _tell(self, before: dict[str, WorkerReport], now: dict[str, WorkerReport]) -> None:
        for name, worker in now.items():
            was = before.get(name)
            if worker.state == "ready" and (was is None or was.state != "ready"):
                self._listener.ready(worker.app, worker.function)
            elif was is None or (was.state, was.busy) != (worker.state, worker.busy):
                self._listener.changed(worker.app, worker.function)
        for name, worker in before.items():
            if name not in now:
                self._stopping.discard(name)
                self._listener.changed(worker.app, worker.function)

    def _view(self, worker: WorkerReport, age: float) -> WorkerView:
        leaving = worker.name in self._stopping or worker.state not in ("starting", "ready")
        phase = Phase.LEAVING if leaving else Phase(worker.state)
        idle_for = 0.0 if worker.busy or worker.state != "ready" else worker.idle_for + age
        return WorkerView(
            worker.name, phase, worker.busy, worker.waiting, idle_for, worker.held, version=worker.version,
            mean_run=worker.mean_run, running_for=worker.running_for + age if worker.running_for else 0.0,
            running=worker.running, unstarted=worker.unstarted,
        )  # fmt: skip

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
