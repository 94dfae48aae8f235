"""Serves one app for the process that started us: supervisor and controller in one, driven over pipes.

One JSON object a line. In: ``open`` (connect), ``claim`` (an app's name), ``serve`` (functions), ``stop`` (drain),
``detach``. Out: ``claimed`` (with the token that the app is served under), ``ready``, ``drained``, ``detached``,
``error``. The end of the input means that the owner is gone: everything is ended at once, or, once detached, when the
app's durable work is done.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from busfn.bus.base import Bus
from busfn.claims import CLAIM_TIME, Claims, Held, Use
from busfn.concurrency.loops import Tasks, turns
from busfn.config import BusAddress
from busfn.errors import Error
from busfn.registry import Registry
from busfn.spec import FunctionSpec
from busfn.streams import consumers, delayed
from busfn_services.child import say, standard_input
from busfn_services.controller.abandoned import remove_from_bus
from busfn_services.controller.controller import Controller
from busfn_services.controller.launchers.process import ProcessLauncher
from busfn_services.controller.leftover import queued_inputs
from busfn_services.controller.wanted import Served, with_overrides
from busfn_services.farewell import while_there
from busfn_services.lease import Lease
from busfn_services.process import run_subordinate
from busfn_services.supervisor.context import HostContext, open_context
from busfn_services.supervisor.forkserver import ForkServer
from busfn_services.supervisor.supervisor import Supervisor
from busfn_services.supervisor.worker import State, Worker

logger = logging.getLogger("busfn.host")

DONE_CHECK = 0.5
"""Seconds between looks at whether a detached app has work left."""
FAREWELL = 3.0
"""Seconds for tidying up the bus when the owner is gone."""
LEFT = (
    f"what this run left on the bus could not be removed: %s. Its name is free within {CLAIM_TIME:g} s after the bus is"
    " back; what was queued waits for the next run of the app"
)


class Host:
    """The processes of one app, from ``open`` to the end of the input."""

    def __init__(self, forks: ForkServer) -> None:
        self._forks = forks
        self._stack = AsyncExitStack()
        self._opening: asyncio.Task[HostContext] | None = None
        self._context: HostContext | None = None
        self._supervisor: Supervisor | None = None
        self._controller: Controller | None = None
        self._launcher: ProcessLauncher | None = None
        self._registry: Registry | None = None
        self._rescaling = asyncio.Event()
        self._tasks = Tasks(logger)
        self._specs: Sequence[FunctionSpec] = ()
        self._ours: dict[str, FunctionSpec] = {}
        """All that was served, by label; code that changes may lose functions."""
        self._held: dict[str, Held] = {}
        """What was claimed, by token."""
        self._left: dict[str, int] = {}
        """Inputs that were still queued when the workers had ended, by function."""
        self._detached = False
        self._shared = True
        """Others use the bus, too; otherwise it ends with our owner, and what is on it needs no tidying."""
        self._away = False
        """We could not end in order, because the bus did not answer."""

    async def run(self, stop: asyncio.Event) -> int:
        """Obey until the owner is gone."""
        try:
            await self._obey(stop)
        finally:
            await self._end()
        return 0

    async def _obey(self, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        reader = await standard_input()
        while True:  # ends: with the input, or when told to stop; it is the process
            line = asyncio.create_task(reader.readline())
            await asyncio.wait((line, stopping), return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() or not line.result():
                line.cancel()
                if self._detached and not stopping.done():
                    await self._outlast(stopping)
                stopping.cancel()
                return
            await self._do(json.loads(line.result()))

    async def _outlast(self, stopping: asyncio.Task[bool]) -> None:
        """Go on without an owner until nothing is queued or runs, or until we are told to stop."""
        while not stopping.done():
            await asyncio.wait((stopping,), timeout=DONE_CHECK)
            try:
                if await self._idle():
                    await self._drain(0.0)
                    return
            except Error as error:  # the bus is away
                logger.info("cannot tell whether there is work left: %s", error)

    async def _idle(self) -> bool:
        assert self._context is not None
        assert self._supervisor is not None
        if any(worker.load().busy for worker in self._supervisor.workers.values()):
            return False
        for spec in self._specs:
            for consumer in consumers(self._context.subjects, spec.app, spec.name):
                lag = await self._context.bus.queues.lag(consumer.stream, consumer.name)
                if lag.pending or lag.unsettled:
                    return False
            for stream, subject in delayed(self._context.subjects, spec.app, spec.name):
                if await self._context.bus.queues.oldest(stream, subject) is not None:
                    return False
        return True

    async def _do(self, message: dict[str, Any]) -> None:
        try:
            if message["op"] == "open":
                address = BusAddress.from_dict(message["address"])
                key = bytes.fromhex(message["key"]) or None
                self._shared = message["shared"]
                if not self._shared:  # its server ends with our owner, which is nothing to report
                    logging.getLogger("busfn.bus").disabled = True
                self._opening = asyncio.create_task(open_context(address, env=message["env"], key=key))
            elif message["op"] == "claim":
                say(event="claimed", token=await self._claim(message["app"], message["use"]))
            elif message["op"] == "serve":
                await self._serve([FunctionSpec.from_dict(data) for data in message["functions"]])
                say(event="ready")
            elif message["op"] == "stop":
                await self._drain(message["grace"])
                say(event="drained", left=self._left)
            elif message["op"] == "detach":
                self._detached = True
                say(event="detached")
        except Error as error:
            say(event="error", kind=type(error).__name__, text=str(error))

    async def _serve(self, specs: Sequence[FunctionSpec]) -> None:
        """Serve the functions from now on; again, for a new version of them or with other settings."""
        if self._context is None:
            await self._connect()
        await self._note_functions(specs)
        if self._controller is None:
            await self._begin()
        self._specs = specs
        self._ours |= {spec.label: spec for spec in specs}  # only now they are ours to tidy up
        assert self._controller is not None
        assert self._launcher is not None
        overrides = await self._registry.overrides() if self._registry else {}
        await self._controller.serve(with_overrides(map(Served, self._specs), overrides), self._launcher)

    async def _connect(self) -> None:
        assert self._opening is not None
        context = self._context = await self._opening
        self._registry = Registry(context.bus, context.subjects)
        if self._shared:
            self._stack.push_async_callback(context.bus.close)

    async def _claim(self, app: str, use: Use) -> str:
        """The token that the app is served under from now on. Raises `ConflictError` when others have its name."""
        if self._context is None:
            await self._connect()
        assert self._context is not None
        assert self._registry is not None
        if app in self._held:
            return app
        claims = Claims(self._registry, self._context.bus.table(self._context.subjects.table))
        held = await claims.take(app, use)
        await self._stack.enter_async_context(Lease(claims, held))
        await self._registry.forget_overrides(held.token)
        self._held[held.token] = held
        return held.token

    async def _note_functions(self, specs: Sequence[FunctionSpec]) -> None:
        """Should we vanish, what is served aside has to be found on the bus."""
        assert self._context is not None
        assert self._registry is not None
        claims = Claims(self._registry, self._context.bus.table(self._context.subjects.table))
        for held in self._held.values():
            functions = [spec.name for spec in specs if spec.app == held.token]
            if held.aside and held.functions != functions:
                held.functions = functions
                await claims.renew(held)

    async def _begin(self) -> None:
        assert self._context is not None
        assert self._registry is not None
        context, registry = self._context, self._registry
        supervisor = self._supervisor = await self._stack.enter_async_context(Supervisor(context, self._forks))
        supervisor.on_change = self._on_change
        self._launcher = ProcessLauncher(supervisor)
        self._controller = Controller(context)
        await registry.watch(lambda: self._rescaling.set())
        self._tasks.loop(self._keep_scaling(), "settings")

    async def _keep_scaling(self) -> None:
        """Take in settings that somebody changes while we run."""
        async for _ in turns(self._rescaling.wait, at_once=False):
            self._rescaling.clear()
            try:
                await self._serve(self._specs)
            except Error as error:
                logger.warning("new settings cannot be read: %s", error)

    def _on_change(self, worker: Worker) -> None:
        controller, spec = self._controller, worker.spec
        if controller is None:
            return
        if worker.failure and worker.state is State.GONE:
            controller.failed(spec.app, spec.name, spec.version, worker.failure)
        elif worker.state is State.READY:
            controller.ready(spec.app, spec.name)
        else:
            controller.changed(spec.app, spec.name)

    async def _drain(self, grace: float) -> None:
        """Without the bus nobody can hand in an outcome: then workers have no longer than ``grace`` in all, and those
        that are left go with us."""
        await self._tasks.cancel()
        if self._context is not None:
            bus = self._context.bus
            self._away = not await while_there(bus, self._stop_all(bus, grace), grace)

    async def _stop_all(self, bus: Bus, grace: float) -> None:
        if self._controller is not None and self._supervisor is not None:
            await self._controller.close()
            await self._supervisor.stop(grace=grace)
            if self._context is not None:
                apps = {spec.app for spec in self._ours.values()}
                self._left = await queued_inputs(bus, self._context.subjects, apps)
            await (bus.flush() if self._shared else bus.close())

    async def _end(self) -> None:
        if self._opening is not None and self._context is None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._context is None or not self._shared:
            return  # our end is enough: the fork server kills what still runs, and the bus ends with our owner
        if self._away or not self._context.bus.connected:
            logger.warning(LEFT, "it does not answer")
            return
        try:
            async with asyncio.timeout(FAREWELL):
                ours = [(spec.app, spec.name) for spec in self._ours.values()]
                await remove_from_bus(self._context.bus, self._context.subjects, ours)
                await self._stack.aclose()
        except (Error, TimeoutError) as error:
            logger.warning(LEFT, str(error) or f"it did not answer within {FAREWELL:g} s")


def main() -> int:
    """Fork the fork server off while we are alone in the process, then serve."""
    forks = ForkServer.launch()
    code = run_subordinate(Host(forks).run)
    forks.close()
    gc.freeze()  # what is left needs no collection: at the interpreter's end it takes 60 ms, and our owner waits
    return code


if __name__ == "__main__":
    sys.exit(main())
