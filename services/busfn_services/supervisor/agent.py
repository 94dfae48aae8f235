"""A host on the bus: reports its workers to whoever controls them, and starts and drains workers when told to."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from collections.abc import Coroutine
from typing import Any

from busfn.bus.base import Message
from busfn.errors import Error
from busfn.ids import new_call_id
from busfn_services.reports import Command, Failure, HostReport, WorkerReport
from busfn_services.supervisor.code import CodeStore
from busfn_services.supervisor.context import HostContext
from busfn_services.supervisor.supervisor import Supervisor
from busfn_services.supervisor.worker import State, Worker

REPORT_EVERY = 0.25
"""Seconds between reports while something changes."""
QUIET = 1.0
"""Seconds between reports while nothing does; a host that is silent for long counts as gone."""

logger = logging.getLogger("busfn.agent")


class Agent:
    """Obeys controllers on behalf of one supervisor; use it with ``async with``."""

    def __init__(self, context: HostContext, supervisor: Supervisor, code: CodeStore, host: str = "") -> None:
        self.host = host or new_host()
        self._bus = context.bus
        self._subjects = context.subjects
        self._supervisor = supervisor
        self._code = code
        self._epoch = 0
        self._failures: list[Failure] = []
        self._leaving = False
        self._changed = asyncio.Event()
        self._said: HostReport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Agent:
        self._supervisor.on_change = self._on_change
        for name in (self.host, "all"):
            await self._bus.subscribe(self._subjects.command(name), self._on_command)
        self._bus.on_reconnect(self._changed.set)
        self._spawn(self._keep_reporting())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._publish(HostReport(host=self.host, machine=platform.node(), cores=0, leaving=True))

    async def leave(self, grace: float) -> None:
        """Take no more workers, and drain those that are here, for ``grace`` seconds at the most."""
        self._leaving = True
        self._changed.set()
        await self._supervisor.stop(grace=grace)

    def report(self) -> HostReport:
        """The host as it is now."""
        failures, self._failures = tuple(self._failures), []
        workers = tuple(_report(worker) for worker in self._supervisor.workers.values())
        return HostReport(
            host=self.host, machine=platform.node(), cores=len(os.sched_getaffinity(0)), workers=workers,
            failures=failures, leaving=self._leaving,
        )  # fmt: skip

    def _on_change(self, worker: Worker) -> None:
        if worker.failure and worker.state is State.GONE:
            self._fail(worker.spec.app, worker.spec.version, worker.spec.name, worker.failure)
        self._changed.set()

    def _fail(self, app: str, version: int, function: str, text: str) -> None:
        self._failures.append(Failure(app=app, version=version, function=function, text=text))
        self._changed.set()

    async def _keep_reporting(self) -> None:
        """At once when a worker comes or goes; else as often as what it does changes."""
        quiet = 0.0
        while True:
            try:
                async with asyncio.timeout(REPORT_EVERY):
                    await self._changed.wait()
            except TimeoutError:
                quiet += REPORT_EVERY
            self._changed.clear()
            report = self.report()
            if quiet >= QUIET or _differs(report, self._said):
                quiet, self._said = 0.0, report
                self._publish(report)

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
        if command.epoch and command.epoch < self._epoch:
            self._answer(message, f"a controller that leads no more wanted to {command.op} here")
            return
        self._epoch = max(self._epoch, command.epoch)
        if command.op == "start":
            self._spawn(self._start(command, message))
        elif command.op in ("drain", "kill"):
            worker = self._supervisor.workers.get(command.worker)
            if worker is not None:
                worker.drain() if command.op == "drain" else worker.kill()
                self._answer(message)
        else:
            self._changed.set()
            self._answer(message)

    async def _start(self, command: Command, message: Message) -> None:
        try:
            spec = await self._code.spec(command.app, command.version, command.function)
        except Error as error:
            self._fail(command.app, command.version, command.function, str(error))
            self._answer(message, str(error))
            return
        if self._leaving:
            self._answer(message, "the host is being stopped")
            return
        self._supervisor.start(spec)
        self._answer(message)

    def _answer(self, message: Message, error: str = "") -> None:
        """What the host looks like once the command is obeyed; first to all, so that an answer is never ahead."""
        report = self.report()
        self._publish(report)
        if message.reply:
            headers = {"Busfn-Error": " ".join(error.split())[:500]} if error else {}
            self._bus.publish(message.reply, report.encode(), headers)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def new_host() -> str:
    """A name that no other host has."""
    return f"h{new_call_id()[-12:]}"


def _report(worker: Worker) -> WorkerReport:
    spec, load = worker.spec, worker.load()
    return WorkerReport(
        name=worker.name, pid=worker.pid, app=spec.app, version=spec.version, function=spec.name,
        state=worker.state.value, busy=load.busy, waiting=load.waiting, idle_for=round(load.idle_for, 1),
        held=load.held, deaf_for=round(load.deaf_for, 1), mean_run=load.mean_run, running_for=load.running_for,
        running=load.running, unstarted=load.unstarted,
    )  # fmt: skip


def _differs(report: HostReport, before: HostReport | None) -> bool:
    """Whether there is news, idle times left aside: they can be told from when they were reported."""
    return before is None or bool(report.failures) or _gist(report) != _gist(before)


def _gist(report: HostReport) -> object:
    return report.leaving, [(w.name, w.pid, w.state, w.running, w.waiting, w.held) for w in report.workers]
