"""Serves one app for the process that started us: supervisor and controller in one, driven over pipes.

One JSON object a line. In: ``open`` (connect), ``serve`` (functions), ``stop`` (drain). Out: ``ready``, ``drained``,
``error``. The end of the input means that the owner is gone: everything is ended at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from busfn.config import BusAddress
from busfn.errors import Error
from busfn.spec import FunctionSpec
from busfn.streams import consumers
from busfn_services.controller.controller import Controller
from busfn_services.controller.launchers.process import ProcessLauncher
from busfn_services.lease import Lease
from busfn_services.process import run_service
from busfn_services.supervisor.context import HostContext, open_context
from busfn_services.supervisor.forkserver import ForkServer
from busfn_services.supervisor.supervisor import Supervisor
from busfn_services.supervisor.worker import State, Worker

logger = logging.getLogger("busfn.host")

FAREWELL = 3.0
"""Seconds for tidying up the bus when the owner is gone."""


class Host:
    """The processes of one app, from ``open`` to the end of the input."""

    def __init__(self, forks: ForkServer) -> None:
        self._forks = forks
        self._stack = AsyncExitStack()
        self._opening: asyncio.Task[HostContext] | None = None
        self._context: HostContext | None = None
        self._supervisor: Supervisor | None = None
        self._controller: Controller | None = None
        self._specs: Sequence[FunctionSpec] = ()
        self._shared = True
        """Others use the bus, too; otherwise it ends with our owner, and what is on it needs no tidying."""

    async def run(self, stop: asyncio.Event) -> int:
        """Obey until the owner is gone."""
        try:
            await self._obey(stop)
        finally:
            await self._end()
        return 0

    async def _obey(self, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        reader = await _stdin()
        while True:
            line = asyncio.create_task(reader.readline())
            await asyncio.wait((line, stopping), return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() or not line.result():
                stopping.cancel()
                line.cancel()
                return
            await self._do(json.loads(line.result()))

    async def _do(self, message: dict[str, Any]) -> None:
        try:
            if message["op"] == "open":
                address = BusAddress.from_dict(message["address"])
                key = bytes.fromhex(message["key"]) or None
                self._shared = message["shared"]
                if not self._shared:  # its server ends with our owner, which is nothing to report
                    logging.getLogger("busfn.bus").disabled = True
                self._opening = asyncio.create_task(open_context(address, env=message["env"], key=key))
            elif message["op"] == "serve":
                await self._serve([FunctionSpec.from_dict(data) for data in message["functions"]])
                _tell(event="ready")
            elif message["op"] == "stop":
                await self._drain(message["grace"])
                _tell(event="drained")
        except Error as error:
            _tell(event="error", kind=type(error).__name__, text=str(error))

    async def _serve(self, specs: Sequence[FunctionSpec]) -> None:
        assert self._opening is not None
        context = self._context = await self._opening
        if self._shared:
            self._stack.push_async_callback(context.bus.close)
        for app in sorted({spec.app for spec in specs} if self._shared else ()):
            await self._stack.enter_async_context(Lease(context.bus.table(context.subjects.table), app))
        self._specs = specs
        self._supervisor = await self._stack.enter_async_context(Supervisor(context, self._forks))
        self._supervisor.on_change = self._on_change
        self._controller = Controller(context, ProcessLauncher(self._supervisor), len(os.sched_getaffinity(0)))
        await self._controller.serve(specs)

    def _on_change(self, worker: Worker) -> None:
        pool = self._controller.pool(worker.spec) if self._controller else None
        if pool is None:
            return
        if worker.failure and worker.state is State.GONE:
            pool.failed(worker.failure)
        elif worker.state is State.READY:
            pool.ready()
        else:
            pool.wake()

    async def _drain(self, grace: float) -> None:
        if self._controller is not None and self._supervisor is not None and self._context is not None:
            await self._controller.close()
            await self._supervisor.stop(grace=grace)
            if self._shared:
                await self._context.bus.flush()
            else:
                await self._context.bus.close()

    async def _end(self) -> None:
        if self._opening is not None and self._context is None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._context is None or not self._shared:
            return  # our end is enough: the fork server kills what still runs, and the bus ends with our owner
        try:
            async with asyncio.timeout(FAREWELL):
                if self._context.bus.connected:
                    await _tidy(self._context, self._specs)
                await self._stack.aclose()
        except (Error, TimeoutError) as error:
            logger.warning("what this run left on the bus could not be removed: %s", error)


async def _tidy(context: HostContext, specs: Sequence[FunctionSpec]) -> None:
    """Take what the app leaves behind off a bus that others use, too."""
    for spec in specs:
        for consumer in consumers(context.subjects, spec.app, spec.name):
            await context.bus.queues.purge(consumer.stream, consumer.subject)
            await context.bus.queues.delete_consumer(consumer.stream, consumer.name)


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=1 << 26)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(0), "rb"))
    return reader


def _tell(**event: str) -> None:
    try:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
    except OSError:  # the owner is gone: the end of the input follows
        return


def main() -> int:
    """Fork the fork server off while we are alone in the process, then serve."""
    forks = ForkServer.launch()
    return run_service(Host(forks).run)


if __name__ == "__main__":
    sys.exit(main())
