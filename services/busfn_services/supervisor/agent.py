"""A host on the bus: reports its workers to whoever controls them, and starts and drains workers when told to."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from collections import deque
from contextlib import suppress

from busfn.bus.base import Message
from busfn.concurrency.loops import Tasks, every, turns
from busfn.errors import Error
from busfn.ids import new_call_id
from busfn.protocol import headers
from busfn.protocol.envelope import Status
from busfn_services.answering import answer
from busfn_services.health import loop_reports
from busfn_services.reports import (
    MAX_CORES,
    MAX_FAILURES,
    MAX_WORKERS,
    Command,
    Failure,
    HostReport,
    WorkerReport,
    one_line,
    shorten,
)
from busfn_services.supervisor.code import CodeStore
from busfn_services.supervisor.context import HostContext
from busfn_services.supervisor.leader import Leader
from busfn_services.supervisor.supervisor import Supervisor
from busfn_services.supervisor.worker import State, Worker

REPORT_EVERY = 0.25
"""Seconds between reports while something changes."""
QUIET = 1.0
"""Seconds between reports while nothing does; a host that is silent for long counts as gone."""

HOLD_EVERY = 0.5
"""Seconds between words to whoever waits for a start."""
MAX_SECONDS = 1e9
FULL = f"the host has {MAX_WORKERS} workers, as many as it can"

logger = logging.getLogger("busfn.agent")


class Agent:
    """Obeys controllers on behalf of one supervisor; use it with ``async with``."""

    def __init__(self, context: HostContext, supervisor: Supervisor, code: CodeStore, host: str = "") -> None:
        self.host = host or new_host()
        self._bus = context.bus
        self._subjects = context.subjects
        self._supervisor = supervisor
        self._code = code
        self._leader = Leader(context.bus.table(context.subjects.table))
        self._failures: deque[Failure] = deque(maxlen=MAX_FAILURES)
        self._leaving = False
        self._changed = asyncio.Event()
        self._said: HostReport | None = None
        self._quiet = 0.0
        """Seconds since the last report."""
        self._tasks = Tasks(logger)

    async def __aenter__(self) -> Agent:
        self._supervisor.on_change = self._on_change
        for name in (self.host, "all"):
            await self._bus.subscribe(self._subjects.command(name), self._on_command)
        self._bus.on_reconnect(self._changed.set)
        self._tasks.loop(self._keep_reporting(), "reports")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.cancel()
        self._publish(HostReport(host=self.host, machine=_machine(), cores=0, leaving=True))

    async def leave(self, grace: float) -> None:
        """Take no more workers, and drain those that are here, for ``grace`` seconds at the most."""
        self._leaving = True
        self._changed.set()
        await self._supervisor.stop(grace=grace)

    def report(self) -> HostReport:
        """The host as it is now."""
        failures = tuple(self._failures)
        self._failures.clear()
        workers = [_report(worker) for worker in self._supervisor.workers.values()]
        return HostReport(
            host=self.host, machine=_machine(), cores=min(MAX_CORES, len(os.sched_getaffinity(0))),
            workers=tuple(workers[:MAX_WORKERS]), failures=failures, leaving=self._leaving, loops=loop_reports(),
        )  # fmt: skip

    def _on_change(self, worker: Worker) -> None:
        if worker.failure and worker.state is State.GONE:
            self._fail(worker.spec.app, worker.spec.version, worker.spec.name, worker.failure)
        self._changed.set()

    def _fail(self, app: str, version: int, function: str, text: str) -> None:
        self._failures.append(Failure(app=app, version=version, function=function, text=shorten(text)))
        self._changed.set()

    async def _keep_reporting(self) -> None:
        """At once when a worker comes or goes; else as often as what it does changes."""
        async for _ in turns(self._news, within=REPORT_EVERY):
            self._changed.clear()
            report = self.report()
            if self._quiet >= QUIET or _differs(report, self._said):
                self._quiet, self._said = 0.0, report
                self._publish(report)

    async def _news(self) -> None:
        try:
            async with asyncio.timeout(REPORT_EVERY):
                await self._changed.wait()
        except TimeoutError:
            self._quiet += REPORT_EVERY

    def _publish(self, report: HostReport) -> None:
        try:
            self._bus.publish(self._subjects.report(self.host), report.encode())
        except Error as error:  # the bus is away for long: a later report says the same
            logger.info("a report was not sent: %s", error)

    def _on_command(self, message: Message) -> None:
        try:
            command = Command.decode(message.body)
        except Error as error:
            logger.warning("%s", error)
            return
        if command.op == "ping":
            return  # that it was delivered is all there is to know
        self._tasks.spawn(self._obey(command, message), f"a command to {command.op}")

    async def _obey(self, command: Command, message: Message) -> None:
        if command.epoch and (doubt := await self._leader.doubt(command.epoch)):
            self._answer(message, f"{doubt}, and wanted to {command.op} here")
        elif command.op == "start":
            await self._start(command, message)
        elif command.op in ("drain", "kill"):
            worker = self._supervisor.workers.get(command.worker)
            if worker is not None:
                worker.drain() if command.op == "drain" else worker.kill()
                self._answer(message)
        else:
            self._changed.set()
            self._answer(message)

    async def _start(self, command: Command, message: Message) -> None:
        """Start a worker. While that takes its time, whoever asked is told that we are at it."""
        waiting = self._tasks.loop(self._hold_line(message), "start", command.function)
        try:
            spec = await self._code.spec(command.app, command.version, command.function)
            if self._leaving or len(self._supervisor.workers) >= MAX_WORKERS:
                self._answer(message, "the host is being stopped" if self._leaving else FULL)
                return
            self._supervisor.start(spec)
        except (Error, OSError) as error:  # OSError: no descriptors, memory or disk
            self._fail(command.app, command.version, command.function, f"host {_machine()}: {error}")
            self._answer(message, str(error))
        else:
            self._answer(message)
        finally:
            waiting.cancel()

    async def _hold_line(self, message: Message) -> None:
        async for _ in every(HOLD_EVERY, at_once=False):
            with suppress(Error):
                answer(self._bus, message, headers={headers.STATUS: Status.BEAT})

    def _answer(self, message: Message, error: str = "") -> None:
        """What the host looks like once the command is obeyed; first to all, so that an answer is never ahead."""
        report = self.report()
        self._publish(report)
        answer(self._bus, message, report.encode(), {"Busfn-Error": one_line(error)} if error else {})


def new_host() -> str:
    """A name that no other host has."""
    return f"h{new_call_id()[-12:]}"


def _machine() -> str:
    return one_line(platform.node())


def _report(worker: Worker) -> WorkerReport:
    """What a worker's table says is written by user code's process: it is cut to what a report may hold."""
    spec, load = worker.spec, worker.load()
    return WorkerReport(
        name=worker.name, pid=worker.pid, app=spec.app, version=spec.version, function=spec.name,
        state=worker.state.value, busy=load.busy, waiting=load.waiting, idle_for=_seconds(load.idle_for),
        held=load.held, deaf_for=_seconds(load.deaf_for), mean_run=_seconds(load.mean_run, 9),
        running_for=_seconds(load.running_for, 9), running=load.running, unstarted=load.unstarted,
    )  # fmt: skip


def _seconds(value: float, digits: int = 1) -> float:
    return round(min(value, MAX_SECONDS), digits) if value > 0 else 0.0  # NaN is not


def _differs(report: HostReport, before: HostReport | None) -> bool:
    """Whether there is news, idle times left aside: they can be told from when they were reported."""
    return before is None or bool(report.failures) or _gist(report) != _gist(before)


def _gist(report: HostReport) -> object:
    return report.leaving, [(w.name, w.pid, w.state, w.running, w.waiting, w.held) for w in report.workers]
