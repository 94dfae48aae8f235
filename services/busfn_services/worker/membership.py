"""A worker's place in the queue group of its function.

Whoever is in the group gets calls also while it cannot read them. So a worker that was held up asks the controllers to
stand in; while one of them says that it does, all workers of the function stay out, and take calls from the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from busfn.bus.base import Bus, Message, Subscription
from busfn.errors import Error
from busfn.protocol.control import Cover
from busfn.protocol.subjects import QUEUE_GROUP, Subjects
from busfn.spec import FunctionSpec

PATIENCE = 1.2
"""Seconds without a word of whoever stands in, after which nobody does."""


class Membership:
    """Joins the group, and stays out while somebody stands in. Loop thread only."""

    def __init__(self, bus: Bus, subjects: Subjects, spec: FunctionSpec, on_call: Callable[[Message], None]) -> None:
        self._bus = bus
        self._calls = subjects.function(spec.app, spec.name)
        self._covers = subjects.cover(spec.app, spec.name)
        self._question = subjects.question("cover", spec.app)
        self._function = spec.name.encode()
        self._on_call = on_call
        self._cover: Subscription | None = None
        self._member: Subscription | None = None
        self._outside: asyncio.Task[None] | None = None
        self._word = asyncio.Event()
        self._over = False

    async def join(self) -> None:
        """Take calls; on return the server knows."""
        self._cover = await self._bus.subscribe(self._covers, self._on_cover)
        await self._step_in()

    async def leave(self) -> None:
        """Take no more, for good; on return what was sent to us is handled."""
        if self._cover is not None:
            await self._cover.leave()
        if self._outside is not None:
            self._outside.cancel()
            await asyncio.gather(self._outside, return_exceptions=True)
        await self._step_out()

    def held_up(self) -> None:
        """Calls have waited for us unread, and may again: ask for somebody to stand in."""
        with suppress(Error):  # the bus is away
            self._bus.publish(self._question, self._function)

    def _on_cover(self, message: Message) -> None:
        self._over = message.body == Cover.OVER.value
        self._word.set()
        if not self._over and self._outside is None:
            self._outside = asyncio.get_running_loop().create_task(self._stay_out())

    async def _stay_out(self) -> None:
        await self._step_out()
        while await self._covered():
            pass
        await self._step_in()
        self._outside = None

    async def _covered(self) -> bool:
        """Wait for the next word, and whether there is one."""
        self._word.clear()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._word.wait()
        except TimeoutError:
            await self._read_up()
        return self._word.is_set() and not self._over

    async def _read_up(self) -> None:
        """We may have been held up ourselves: read what was said meanwhile."""
        try:
            await self._bus.flush()
        except Error:  # the bus is away, so nobody takes calls
            self._word.set()

    async def _step_in(self) -> None:
        self._member = await self._bus.subscribe(self._calls, self._on_call, queue=QUEUE_GROUP)

    async def _step_out(self) -> None:
        member, self._member = self._member, None
        if member is not None:
            await member.leave()
