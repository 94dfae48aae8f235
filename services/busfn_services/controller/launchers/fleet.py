"""Workers on hosts that are reached over the bus: known by what the hosts report, started and drained by command.

A worker that was asked for and not yet reported counts as starting, so nothing is asked for twice. Hosts outlive
controllers: whoever leads next learns from their reports what runs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from busfn.bus.base import Bus, Channel, Message
from busfn.bus.frames import NO_RESPONDERS
from busfn.concurrency.loops import Faults, Tasks, every, isolated
from busfn.errors import ConnectionError, Error, NoResponders, ProtocolError
from busfn.protocol.subjects import Subjects
from busfn.spec import FunctionSpec
from busfn_services.controller.launchers.placement import Placement
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
CONFIRM = 2.0
"""Seconds a host may take to say that it is at it, and again and again until it is done."""
GREETING = 2.0
"""Seconds a host that is new may take to answer; before, it does not count."""
WARN_EVERY = 10.0
FORGOTTEN = 60.0
"""Seconds without a report after which nothing is remembered of a host."""
MAX_ANSWERS = 128
MAX_HOSTS = 1000
MAX_GREETINGS = 32
"""Hosts that are asked at a time whether they are there."""

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
        self._placement = Placement()
        self._greeted: set[str] = set()
        """Hosts that were asked whether they are there, and did not answer yet."""
        self._asked: dict[int, tuple[str, FunctionSpec]] = {}
        self._stopping: set[str] = set()
        self._number = 0
        self._warned = 0.0
        self._refused_reports = Faults(logger)
        self._tasks = Tasks(logger)
        self._since = time.monotonic()

    async def __aenter__(self) -> Fleet:
        await self._bus.subscribe(self._subjects.report("*"), self._on_report)
        self.settle()
        self._tasks.loop(self._ping(), "host pings")
        return self

    def settle(self) -> None:
        """Have all hosts report: we have just come, or were away."""
        self._placement.forget_silence()
        self._bus.publish(self._subjects.command("all"), Command(op="report").encode())
        self._since = time.monotonic()

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.cancel()

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
        now = time.monotonic()
        return sum(report.cores for report in self.hosts if not self._placement.silent(report.host, now))

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
        host = self._placement.choose(self.hosts, (name for name, _ in self._asked.values()), spec, time.monotonic())
        if host is None:
            self._without_host(spec)
            return
        self._number += 1
        self._asked[self._number] = host, spec
        self._tasks.spawn(self._start(host, self._number, spec), f"a start of {spec.label} on host {host}")

    def _without_host(self, spec: FunctionSpec) -> None:
        now = time.monotonic()
        if now - self._warned > WARN_EVERY:
            self._warned = now
            logger.warning("%s: there is no host to start a worker on", spec.label)

    def stop(self, name: str) -> None:
        for host in self.hosts:
            if any(worker.name == name for worker in host.workers):
                self._stopping.add(name)
                command = Command(op="drain", worker=name, epoch=self._epoch())
                self._bus.publish(self._subjects.command(host.host), command.encode())

    async def _start(self, host: str, number: int, spec: FunctionSpec) -> None:
        command = Command(op="start", app=spec.app, version=spec.version, function=spec.name, epoch=self._epoch())
        try:
            answer = await self._confirmed(host, command)
            if text := answer.headers.get("Busfn-Error"):
                logger.warning("%s: host %s starts no worker: %s", spec.label, host, text[:500])
                self._placement.refused(host, spec, time.monotonic())
            else:
                self._placement.started(host, spec)
            self._take_own(host, HostReport.decode(answer.body))
        except NoResponders:
            self._lose(host)
        except Error as error:
            logger.warning("%s: host %s starts no worker: %s", spec.label, host, error)
            if self._bus.connected:
                self._placement.unanswered(host, time.monotonic())
        finally:
            del self._asked[number]
            self._listener.changed(spec.app, spec.name)

    async def _confirmed(self, host: str, command: Command) -> Message:
        """The answer to a command. Raises `ConnectionError` when the host does not even say that it is at it."""
        answers: asyncio.Queue[Message] = asyncio.Queue(MAX_ANSWERS)
        channel = self._bus.channel(partial(_put, answers))
        try:
            self._bus.publish(self._subjects.command(host), command.encode(), reply=channel.subject)
            async with asyncio.timeout(START_TIMEOUT):
                while True:  # ends: with an answer, or in time
                    async with asyncio.timeout(CONFIRM):
                        answer = await answers.get()
                    if answer.status == NO_RESPONDERS:
                        raise NoResponders("nobody listens there")
                    if answer.body:
                        return answer
        except TimeoutError as error:
            raise ConnectionError(f"no word of it within {CONFIRM:g} s") from error
        finally:
            channel.close()

    def _on_report(self, message: Message) -> None:
        try:
            report = HostReport.decode(message.body)
            self._check(message.subject.rpartition(".")[2], report)
        except Error as error:
            self._refused_reports.note(message.subject, error)
            return
        if report.host in self._hosts or (report.leaving and not report.workers):
            self._take(report)
        elif report.host not in self._greeted and len(self._greeted) < MAX_GREETINGS and len(self._hosts) < MAX_HOSTS:
            self._greeted.add(report.host)
            self._tasks.spawn(self._greet(report.host), f"a greeting of host {report.host}")

    async def _greet(self, host: str) -> None:
        """A host counts once it answers: whoever only claims to be one would get starts that nobody hears."""
        try:
            command = Command(op="report").encode()
            answer = await self._bus.request(self._subjects.command(host), command, timeout=GREETING)
            self._take_own(host, HostReport.decode(answer.body))
        except Error as error:
            logger.info("host %s does not count, because it does not answer: %s", host, error)
        finally:
            self._greeted.discard(host)

    def _take_own(self, host: str, report: HostReport) -> None:
        self._check(host, report)
        self._take(report)

    def _check(self, host: str, report: HostReport) -> None:
        if report.host != host:
            raise ProtocolError(f"host {host} reports as {report.host}")

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
        async for _ in every(PING_EVERY):
            self._forget_old()
            for name, host in self._hosts.items():
                with isolated(f"host {name}"):
                    if host.report.workers and self._bus.connected:
                        self._bus.publish(self._subjects.command(name), command, reply=host.pings.subject)

    def _forget_old(self) -> None:
        """Hosts that have been silent for long."""
        before = time.monotonic() - FORGOTTEN
        for name in [name for name, host in self._hosts.items() if host.heard < before]:
            self._forget(name)

    def _on_silence(self, name: str, message: Message) -> None:
        if message.status == NO_RESPONDERS:
            self._lose(name)

    def _lose(self, name: str) -> None:
        """The server says that nobody listens there any more."""
        host = self._hosts.get(name)
        if host is not None:
            logger.warning("host %s (%s) is gone, with %d workers", name, host.report.machine, len(host.report.workers))
            self._forget(name)
            self._tell({worker.name: worker for worker in host.report.workers}, {})

    def _forget(self, name: str) -> None:
        host = self._hosts.pop(name, None)
        self._placement.forget(name)
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


def _put(answers: asyncio.Queue[Message], message: Message) -> None:
    if not answers.full():
        answers.put_nowait(message)
