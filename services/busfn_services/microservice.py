"""A plain microservice: a fixed number of workers for some functions, without a controller. For systemd or a pod."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from busfn.claims import Claims
from busfn.config import BusAddress
from busfn.errors import ClientClosed, ServiceError
from busfn.registry import Registry
from busfn.spec import FunctionSpec
from busfn.streams import consumers
from busfn_services.controller.backoff import Backoff
from busfn_services.controller.standins import StandIns
from busfn_services.delays import Promoter
from busfn_services.farewell import while_there
from busfn_services.lease import Lease
from busfn_services.supervisor.context import HostContext, open_context, restore_on_reconnect
from busfn_services.supervisor.forkserver import ForkServer
from busfn_services.supervisor.logs import Echo
from busfn_services.supervisor.supervisor import Supervisor
from busfn_services.supervisor.worker import State, Worker

logger = logging.getLogger("busfn.host")

GRACE = 30.0
"""Seconds that running inputs have after SIGTERM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """What to serve, and where."""

    specs: Sequence[FunctionSpec]
    address: BusAddress
    env: str
    key: bytes | None = field(repr=False)
    processes: int
    """Workers of each function."""
    patience: float = GRACE
    """Seconds that running inputs have after SIGTERM when the bus does not answer."""
    join: bool = False
    """Take calls beside those who serve the app already."""


class Microservice:
    """Keeps the workers running until it is asked to stop."""

    def __init__(self, options: ServiceOptions, forks: ForkServer, echo: Echo, on_ready: Callable[[], None]) -> None:
        self._options = options
        self._forks = forks
        self._echo = echo
        self._on_ready = on_ready
        self._backoffs = {spec.label: Backoff() for spec in options.specs}
        self._broken: asyncio.Future[str] | None = None
        self._ready: set[str] = set()
        self._announced = False
        self._away = False
        """The bus has gone away while we were stopping."""

    async def run(self, stop: asyncio.Event) -> int:
        """Serve until ``stop``; raises `ServiceError` when a function's code cannot be imported at the start."""
        self._broken = asyncio.get_running_loop().create_future()
        options = self._options
        context = await open_context(options.address, env=options.env, key=options.key)
        try:
            async with AsyncExitStack() as claimed:
                await self._claim(context, claimed)
                await self._serve(context, stop)
        except ClientClosed:
            if not self._away:
                raise
            logger.warning("the bus did not answer while the service stopped: what ran is left to its leases")
        finally:
            await context.bus.close()
        return 0

    async def _claim(self, context: HostContext, stack: AsyncExitStack) -> None:
        """Have the names, unless we join those who have them. Raises `ConflictError`."""
        table = context.bus.table(context.subjects.table)
        claims = Claims(Registry(context.bus, context.subjects), table)
        for app in () if self._options.join else sorted({spec.app for spec in self._options.specs}):
            await stack.enter_async_context(Lease(claims, await claims.take(app, "worker")))

    async def _serve(self, context: HostContext, stop: asyncio.Event) -> None:
        options = self._options
        await _ensure_consumers(context, options.specs)
        restore_on_reconnect(context.bus, partial(_ensure_consumers, context, options.specs))
        async with Supervisor(context, self._forks, self._echo) as supervisor:
            supervisor.on_change = lambda worker: self._on_change(supervisor, worker)
            for spec in options.specs:
                for _ in range(options.processes):
                    supervisor.start(spec)
            async with AsyncExitStack() as beside:
                await beside.enter_async_context(Promoter(context))
                await beside.enter_async_context(StandIns(context, options.specs))
                await self._until(stop)
                supervisor.on_change = _ignore
                self._away = not await while_there(context.bus, _leave(context, beside, supervisor), options.patience)
                if self._away:
                    await context.bus.close()  # so that nothing waits for it any more

    async def _until(self, stop: asyncio.Event) -> None:
        assert self._broken is not None
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((stopping, self._broken), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._broken.done():
            raise ServiceError(self._broken.result())

    def _on_change(self, supervisor: Supervisor, worker: Worker) -> None:
        backoff = self._backoffs[worker.spec.label]
        if worker.state is State.READY:
            backoff.succeeded()
            self._count(worker)
        elif worker.state is State.GONE:
            self._replace(supervisor, worker, backoff)

    def _count(self, worker: Worker) -> None:
        self._ready.add(worker.name)
        if len(self._ready) == len(self._options.specs) * self._options.processes and not self._announced:
            self._announced = True
            self._on_ready()

    def _replace(self, supervisor: Supervisor, worker: Worker, backoff: Backoff) -> None:
        """A code that never worked is an error; one that stopped working is tried again, ever more slowly."""
        now = time.monotonic()
        if worker.failure:
            self._echo(worker.spec.name, f"busfn: worker {worker.name} failed to start: {worker.failure}")
            if not self._announced:
                self._fail(f"{worker.spec.label} cannot be served, because its worker failed to start")
                return
            backoff.failed(worker.failure, now)
        delay = max(0.0, backoff.until - now)
        asyncio.get_running_loop().call_later(delay, self._start, supervisor, worker.spec)

    def _start(self, supervisor: Supervisor, spec: FunctionSpec) -> None:
        if supervisor.on_change is not _ignore:
            supervisor.start(spec)

    def _fail(self, reason: str) -> None:
        assert self._broken is not None
        if not self._broken.done():
            self._broken.set_result(reason)


async def _leave(context: HostContext, beside: AsyncExitStack, supervisor: Supervisor) -> None:
    await beside.aclose()
    await supervisor.stop(grace=GRACE)
    await context.bus.flush()


async def _ensure_consumers(context: HostContext, specs: Sequence[FunctionSpec]) -> None:
    for spec in specs:
        for consumer in consumers(context.subjects, spec.app, spec.name):
            await context.bus.queues.ensure_consumer(consumer)


def _ignore(_: Worker) -> None:
    """The service is stopping: who is gone now stays gone."""
