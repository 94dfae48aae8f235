"""The parent of all workers on a host: starts them, keeps their leases, enforces timeouts, cleans up after crashes."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from busfn.bus.base import Message, Verdict
from busfn.concurrency.loops import Tasks, every, isolated, turns
from busfn.errors import Error, ProtocolError
from busfn.ids import new_call_id
from busfn.spec import FunctionSpec
from busfn.streams import consumers
from busfn_services.flight import Entry, Kind, pull_inbox
from busfn_services.handon import beat
from busfn_services.lines import Lines
from busfn_services.marks import NOBODY, MarkedOutput, Owner, Piece
from busfn_services.process import EXIT_FAULT
from busfn_services.reports import ForkEvent, WorkerEvent, shorten
from busfn_services.supervisor.cancelled import Cancelled
from busfn_services.supervisor.context import HostContext
from busfn_services.supervisor.deliveries import Deliveries
from busfn_services.supervisor.forkserver import ForkServer
from busfn_services.supervisor.leftovers import kill_orphans
from busfn_services.supervisor.logs import Echo, LogSink, pump
from busfn_services.supervisor.rescue import Rescue
from busfn_services.supervisor.watch import Duty
from busfn_services.supervisor.worker import State, Worker

SCAN_EVERY = 0.1
"""Seconds between looks at the in-flight tables."""
LATE = 5.0
"""Seconds without a scan after which a host is not well: timeouts and leases depend on it."""
MAX_EVENT = 1 << 18
"""Bytes of an event of a worker."""
LAST_WORDS = 0.5
"""Seconds to read what a dead worker has printed."""
RESCUE_PATIENCE = 5.0
"""Seconds after which a dead worker is replaced, whether or not its messages could be put back by then."""
TIMEOUT_SIGNAL = signal.SIGUSR2
PING_EVERY = 2.0
"""Seconds between pings of the bus: who does not hear it cannot tell whether workers should."""


logger = logging.getLogger("busfn.supervisor")

OnChange = Callable[[Worker], None]


def _ignore(_: Worker) -> None:
    """Nobody wants to know."""


class Supervisor:
    """Owner of the worker processes; use it with ``async with``."""

    def __init__(self, context: HostContext, forks: ForkServer, echo: Echo | None = None) -> None:
        self._context = context
        self._forks = forks
        self._echo = echo
        self.on_change: OnChange = _ignore
        """Told when a worker is ready, has failed to start, or is gone."""
        self._rescue = Rescue(context)
        self._tasks = Tasks(logger)
        self._closing = False
        self._pumps: dict[Worker, list[asyncio.Task[None]]] = {}
        self._cancelled = Cancelled(context.subjects)
        self._answered = 0.0
        """When (monotonic seconds) the bus last answered us."""
        self.workers: dict[str, Worker] = {}

    async def __aenter__(self) -> Supervisor:
        await self._context.bus.subscribe(self._context.subjects.all_of("ctl"), self._on_cancel)
        self._tasks.loop(self._read_forks(), "fork server")
        self._tasks.loop(self._scan(), "scan", limit=LATE)
        self._tasks.loop(self._ping(), "ping")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(grace=0.0)
        self._closing = True
        self._forks.socket.close()
        await self._tasks.cancel()

    def start(self, spec: FunctionSpec) -> Worker:
        """Start a worker; `on_change` tells when it is ready or has failed.

        Raises `ServiceError` when there are too few descriptors or too little memory for one more.
        """
        name, token = f"w{new_call_id()[-12:]}", secrets.token_hex(16)
        inbox = pull_inbox(self._context.address.inbox_prefix, secrets.token_hex(10))
        ends = self._forks.fork({**self._config(name, spec), "inbox": inbox, "log_token": token})
        deliveries = Deliveries(self._context.bus, inbox, consumers(self._context.subjects, spec.app, spec.name))
        worker = Worker(name, spec, ends.table, ends.socket, deliveries, time.monotonic())
        self.workers[name] = worker
        self._tasks.spawn(deliveries.watch(), f"deliveries of {name}")
        self._pumps[worker] = [
            self._tasks.loop(pump(fd, self._sink(worker, stream), MarkedOutput(token)), "output", name)
            for fd, stream in ((ends.out, "out"), (ends.err, "err"))
        ]
        self._tasks.loop(self._read_worker(worker), "events", name)
        return worker

    async def stop(self, *, grace: float) -> None:
        """Drain all workers; those that are not done after ``grace`` seconds are killed."""
        workers = list(self.workers.values())
        for worker in workers:
            worker.drain()
        waits = [asyncio.ensure_future(worker.gone.wait()) for worker in workers]
        if waits:
            await asyncio.wait(waits, timeout=grace)
        for worker in workers:
            worker.kill()
        await asyncio.gather(*waits)

    def _config(self, name: str, spec: FunctionSpec) -> dict[str, Any]:
        context = self._context
        return {
            "worker": name,
            "spec": spec.to_dict(),
            "address": asdict(context.address),
            "env": context.subjects.env,
            "key": context.key.hex() if context.key else "",
        }

    async def _read_forks(self) -> None:
        self._forks.socket.setblocking(False)
        reader, _writer = await asyncio.open_connection(sock=self._forks.socket)
        lines = Lines(reader)
        async for _ in turns(lines.wait, at_once=False):
            if not lines.line:
                break
            with isolated("an event of the fork server"):
                self._on_fork_event(ForkEvent.decode(lines.line))
        if not self._closing:
            await self._end_without_forks()

    async def _end_without_forks(self) -> None:
        """Nothing starts workers any more, or tells when they end. The process ends, and whoever keeps it starts it
        again; until then what its workers had is handed back."""
        logger.error("the process that starts workers has ended; so does this host")
        kill_orphans(self._forks.pid, {worker.pid for worker in self.workers.values() if worker.pid})
        await asyncio.gather(*(self._exited(worker, -signal.SIGKILL) for worker in list(self.workers.values())))
        with suppress(Error):
            await self._context.bus.flush()
        os._exit(EXIT_FAULT)

    def _on_fork_event(self, event: ForkEvent) -> None:
        worker = self.workers.get(event.worker)
        if worker is None:
            return
        if event.event == "started":
            worker.started(event.pid)
        else:
            worker.failure = event.reason or worker.failure
            self._tasks.spawn(self._exited(worker, event.code), f"the end of worker {worker.name}")

    async def _read_worker(self, worker: Worker) -> None:
        worker.socket.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=worker.socket, limit=MAX_EVENT)
        lines = Lines(reader)
        try:
            async for _ in turns(lines.wait, at_once=False):
                if not lines.line:
                    break
                with isolated(f"an event of worker {worker.name}"):
                    self._on_event(worker, lines.line)
            await worker.gone.wait()
        finally:
            writer.close()

    def _on_event(self, worker: Worker, line: bytes) -> None:
        try:
            event = WorkerEvent.decode(line)
        except ProtocolError as error:
            logger.warning("worker %s: %s", worker.name, error)
            return
        if event.event == "ready" and worker.state is State.STARTING:
            worker.state = State.READY
        elif event.event == "failed":
            worker.failure = shorten(event.text) or "it did not say why"
        self.on_change(worker)

    async def _exited(self, worker: Worker, code: int) -> None:
        was = worker.state
        worker.state = State.GONE
        try:
            await self._last_words(worker)
            entries = [entry for _, entry in worker.table.entries()]
            if code and not worker.failure and not worker.dismissed:
                self._report(worker, code, entries)
                if was is State.STARTING:
                    worker.failure = f"the worker ended while it was starting ({describe_exit(code)})"
            await self._clean_up(worker, entries)
        finally:
            self.workers.pop(worker.name, None)
            worker.gone.set()
        self.on_change(worker)

    async def _clean_up(self, worker: Worker, entries: list[Entry]) -> None:
        """See to the messages that it held."""
        taken = {kind: worker.table.taken(kind) for kind in Kind}
        del self.workers[worker.name]
        worker.table.close()
        rescue = self._tasks.spawn(
            self._rescue.all(worker, entries, self._cancelled), f"messages of lost worker {worker.name}"
        )
        unread = self._tasks.spawn(
            worker.deliveries.hand_back(taken, {entry.token for entry in entries}), f"deliveries of {worker.name}"
        )
        await asyncio.wait({rescue, unread}, timeout=RESCUE_PATIENCE)  # the bus may be away

    async def _last_words(self, worker: Worker) -> None:
        """What it printed; a child of it that lives on, or a bus that is away, must not hold us up."""
        pumps = self._pumps.pop(worker)
        _, late = await asyncio.wait(pumps, timeout=LAST_WORDS)
        for pump_ in late:
            pump_.cancel()

    def _report(self, worker: Worker, code: int, entries: Sequence[Entry]) -> None:
        """Tell in the logs of the inputs that it ran."""
        why = "was over its timeout and killed" if worker.killed_for else describe_exit(code)
        if worker.deaf:
            why = "did not hear the bus any more and was killed"
        running = [Owner(entry.call, entry.first + entry.cursor) for entry in entries if entry.running]
        text = f"busfn: worker {worker.name} (pid {worker.pid}) {why}\n"
        for owner in running or [NOBODY]:
            self._sink(worker, "err").write(Piece(owner, text.encode()))

    def _sink(self, worker: Worker, stream: str) -> LogSink:
        return LogSink(
            bus=self._context.bus,
            subjects=self._context.subjects,
            app=worker.spec.app,
            function=worker.spec.name,
            worker=worker.name,
            stream=stream,
            echo=self._echo,
        )

    async def _scan(self) -> None:
        async for _ in every(SCAN_EVERY):
            now = time.monotonic()
            for worker in list(self.workers.values()):
                with isolated(f"worker {worker.name}"):
                    if worker.state is State.STARTING:
                        self._check_start(worker, now)
                    elif worker.state is not State.GONE:
                        self._look_after(worker, now)

    async def _ping(self) -> None:
        async for _ in every(PING_EVERY):
            try:
                await self._context.bus.flush()
                self._answered = time.monotonic()
            except Error as error:
                logger.info("the bus does not answer: %s", error)

    def _check_start(self, worker: Worker, now: float) -> None:
        limit = worker.spec.startup_timeout
        if now - worker.since > limit and not worker.failure:
            worker.failure = f"the worker was not ready after its startup_timeout of {limit:g} s"
            worker.signal(signal.SIGKILL)

    def _on_cancel(self, message: Message) -> None:
        try:
            self._cancelled.note(message.subject, message.body, time.monotonic())
        except ProtocolError as error:
            logger.debug("%s: %s", message.subject, error)

    def _end_cancelled(self, worker: Worker, entries: list[tuple[int, Entry]], now: float) -> None:
        """A body that does not react to its cancellation takes its worker along."""
        for _, entry in entries:
            end = self._cancelled.ends(worker.spec.app, worker.spec.name, entry) if entry.running else None
            if end is not None and now >= end:
                worker.kill()

    def _look_after(self, worker: Worker, now: float) -> None:
        entries = list(worker.table.entries())
        if self._cancelled:
            self._end_cancelled(worker, entries, now)
        worker.idle_since = 0.0 if entries else worker.idle_since or now
        self._check_hearing(worker, now)
        for duty, entry in worker.watch.duties(entries, now):
            with isolated(f"call {entry.call} at worker {worker.name}"):
                self._do(duty, entry, worker)

    def _do(self, duty: Duty, entry: Entry, worker: Worker) -> None:
        if duty is Duty.RENEW:
            self._context.bus.queues.settle(entry.token, Verdict.PROGRESS)
        elif duty is Duty.BEAT:
            beat(self._context.bus, entry.reply, entry.call, index=entry.first, worker=worker.name)
        elif duty is Duty.INTERRUPT:
            worker.signal(TIMEOUT_SIGNAL)
        elif worker.killed_for is None:
            worker.killed_for = entry
            worker.signal(signal.SIGKILL)

    def _check_hearing(self, worker: Worker, now: float) -> None:
        """One that is deaf keeps a place in the queue group and answers nobody; a busy one is left to its timeout."""
        bus_answers = now - self._answered < 2 * PING_EVERY
        if worker.hearing.deaf(worker.table.pinged, now, bus_answers=bus_answers) and worker.idle_since:
            worker.deaf = True
            worker.signal(signal.SIGKILL)


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
