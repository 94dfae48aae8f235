"""Activators of functions that have no controller: each takes calls only for as long as a worker asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Self

from busfn.bus.base import Message, Subscription
from busfn.spec import FunctionSpec
from busfn_services.controller.activator import Activator
from busfn_services.handon import Context
from busfn_services.pulse import Pulse

Key = tuple[str, str]


class StandIns:
    """Use it with ``async with``, while there are workers."""

    def __init__(self, context: Context, specs: Sequence[FunctionSpec]) -> None:
        self._context = context
        self._pulse = Pulse(context.bus)
        keys = [(spec.app, spec.name) for spec in specs]
        self._activators = {
            key: Activator(context, spec, self._pulse, partial(self._on_activity, key))
            for key, spec in zip(keys, specs, strict=True)
        }
        self._ears: list[Subscription] = []
        self._leaving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        bus, subjects = self._context.bus, self._context.subjects
        self._pulse.start()
        for app in sorted({app for app, _ in self._activators}):
            self._ears.append(await bus.subscribe(subjects.question("cover", app), self._on_question))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pulse.stop()
        await asyncio.gather(*(ear.leave() for ear in self._ears))
        await asyncio.gather(*(activator.close() for activator in self._activators.values()))

    def _on_question(self, message: Message) -> None:
        app = message.subject.rpartition(".")[2]
        if activator := self._activators.get((app, message.body.decode(errors="replace"))):
            activator.cover()

    def _on_activity(self, key: Key) -> None:
        activator = self._activators[key]
        if activator.joined and not activator.covering:
            task = asyncio.get_running_loop().create_task(activator.leave())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
