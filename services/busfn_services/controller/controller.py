"""The functions of an environment that are served here, what is known of their workers, and what is told of them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence

from busfn.bus.base import Message, Subscription
from busfn.concurrency.loops import Tasks
from busfn.errors import Error
from busfn_services.answering import answer
from busfn_services.controller.launchers.base import Launcher
from busfn_services.controller.pool import Pool
from busfn_services.controller.retired import Retired
from busfn_services.controller.wanted import Served
from busfn_services.delays import Promoter, always
from busfn_services.handon import Context
from busfn_services.pulse import Pulse, nothing
from busfn_services.reports import Trouble

logger = logging.getLogger("busfn.controller")

Key = tuple[str, str]
"""App (as subjects have it) and function."""


class Controller:
    """Owner of the pools of the functions that are served."""

    def __init__(
        self, context: Context, leads: Callable[[], bool] = always, on_stray: Callable[[], None] = nothing
    ) -> None:
        """``on_stray`` is told when something changes with a worker of a function that is not served."""
        self._context = context
        self._leads = leads
        self._on_stray = on_stray
        self._pools: dict[Key, Pool] = {}
        self._pulse = Pulse(context.bus)
        self._promoter = Promoter(context, leads)
        self._retired = Retired(context.bus.queues, context.bus.table(context.subjects.table))
        self._ears: dict[str, list[Subscription]] = {}
        self._tasks = Tasks(logger)

    async def serve(self, wanted: Sequence[Served], launcher: Launcher) -> None:
        """On return every call to these functions will be answered, and others are not served any more."""
        self._pulse.start()
        await self._promoter.start()
        keyed = {(one.spec.app, one.spec.name): one for one in wanted}
        for app in sorted({app for app, _ in keyed} - set(self._ears)):
            await self._listen(app)
        opened: list[Pool] = []
        for key, one in keyed.items():
            if key in self._pools:
                self._pools[key].serve(one)
            else:
                pool = self._pools[key] = Pool(self._context, one, launcher, self._leads, self._pulse)
                self._retired.discard(pool.consumers)
                opened.append(pool)
        await asyncio.gather(*(pool.open() for pool in opened))
        await self._drop(set(self._pools) - set(keyed))
        await self._context.bus.flush()

    def troubles(self) -> list[Trouble]:
        """Functions whose workers do not start, those with the most work first."""
        found = [trouble for pool in self._pools.values() if (trouble := pool.trouble()) is not None]
        return sorted(found, key=lambda one: one.waiting, reverse=True)

    async def close(self) -> None:
        """Take no more calls; workers are left as they are."""
        self._pulse.stop()
        await self._promoter.stop()
        for ears in self._ears.values():
            await asyncio.gather(*(ear.leave() for ear in ears))
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    async def tidy(self) -> None:
        """Remove from the bus what functions have left there that are served no more; for whoever leads."""
        await self._retired.tidy()

    def wake_all(self) -> None:
        """Look at everything: we may lead now."""
        self._promoter.read_again()
        for pool in self._pools.values():
            pool.wake()

    def busy(self, app: str) -> bool:
        """Whether one of an app's functions had something to do when it was looked at last."""
        return any(pool.busy for (token, _), pool in self._pools.items() if token == app)

    # What is known of workers (see `Listener`)

    def changed(self, token: str, function: str) -> None:
        """A worker came, went, or changed what it does."""
        if pool := self._pools.get((token, function)):
            pool.wake()
        else:
            self._on_stray()

    def ready(self, token: str, function: str) -> None:
        """A worker has started."""
        if pool := self._pools.get((token, function)):
            pool.ready()

    def failed(self, token: str, function: str, version: int, text: str) -> None:
        """A worker could not start."""
        pool = self._pools.get((token, function))
        if pool is not None and pool.version == version:
            pool.failed(text)

    async def _drop(self, keys: set[Key]) -> None:
        """Stop serving functions; what is queued for them stays where it is."""
        for key in keys:
            pool = self._pools.pop(key)
            await pool.close()
            if self._leads():
                pool.dismiss()
                self._retired.add(key[0], pool.consumers)
        for app in set(self._ears) - {app for app, _ in self._pools}:
            for ear in self._ears.pop(app):
                await ear.leave()

    async def _listen(self, app: str) -> None:
        bus, subjects = self._context.bus, self._context.subjects
        self._ears[app] = [
            await bus.subscribe(subjects.question("stats", app), self._on_question),
            await bus.subscribe(subjects.question("cover", app), self._on_cover),
        ]

    def _on_question(self, message: Message) -> None:
        if self._leads():
            self._tasks.spawn(self._answer(message), "a question")

    async def _answer(self, message: Message) -> None:
        app = message.subject.rpartition(".")[2]
        pools = [pool for (token, _), pool in sorted(self._pools.items()) if token == app]
        try:
            found = [(await pool.status()).to_dict() for pool in pools]
            answer(self._context.bus, message, json.dumps({"functions": found}).encode())
        except Error as error:  # who asks is told, rather than left to wait
            answer(self._context.bus, message, json.dumps({"error": str(error)}).encode())

    def _on_cover(self, message: Message) -> None:
        app = message.subject.rpartition(".")[2]
        if pool := self._pools.get((app, message.body.decode(errors="replace"))):
            pool.cover()
