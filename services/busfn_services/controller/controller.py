"""The functions of an environment that are served here, and what wakes them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from busfn.bus.base import Message, Subscription
from busfn.spec import FunctionSpec
from busfn_services.controller.launchers.base import Launcher
from busfn_services.controller.pool import Pool
from busfn_services.handon import Context


class Controller:
    """Owner of the pools of one app."""

    def __init__(self, context: Context, launcher: Launcher, cores: int) -> None:
        self._context = context
        self._launcher = launcher
        self._cores = cores
        self._pools: dict[tuple[str, str], Pool] = {}
        self._wakes: list[Subscription] = []

    async def serve(self, specs: Sequence[FunctionSpec]) -> None:
        """On return every call to these functions will be answered."""
        for spec in specs:
            self._pools[spec.app, spec.name] = Pool(self._context, spec, self._launcher, self._cores)
        for app in {spec.app for spec in specs}:
            wake = self._context.subjects.wakes(app)
            self._wakes.append(await self._context.bus.subscribe(wake, self._on_wake))
        await asyncio.gather(*(self._pools[spec.app, spec.name].open() for spec in specs))
        await self._context.bus.flush()

    async def close(self) -> None:
        """Take no more calls; workers are left as they are."""
        for wake in self._wakes:
            await wake.leave()
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    def pool(self, spec: FunctionSpec) -> Pool | None:
        """The pool of a function."""
        return self._pools.get((spec.app, spec.name))

    def _on_wake(self, message: Message) -> None:
        """What was stored under ``ovf.`` or ``job.``: the latter has the call's id behind the function."""
        app, *rest = message.subject.split(".")[3:]
        for width in (1, 2):
            pool = self._pools.get((app, ".".join(rest[:width])))
            if pool is not None:
                pool.wake()
