"""A worker's place in the queue group of its function.

Whoever is in the group gets calls also while it cannot read them. So a worker that was held up asks the controllers to
stand in; while one of them says that it does, all workers of the function stay out, and take calls from the queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from busfn.bus.base import Bus, Message, Subscription
from busfn.concurrency.loops import Tasks, turns
from busfn.errors import Error, ProtocolError
from busfn.protocol.control import Cover
from busfn.protocol.subjects import QUEUE_GROUP, Subjects
from busfn.spec import FunctionSpec

PATIENCE = 1.2
"""Seconds without a word of whoever stands in, after which nobody does."""

logger = logging.getLogger("busfn.worker")


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
        self._changing = asyncio.Lock()
        self._tasks = Tasks(logger)
        self._outside: asyncio.Task[None] | None = None
        self._word = asyncio.Event()
        self._over = False
        self._gone = False

    async def join(self) -> None:
        """Take calls; on return the server knows."""
        self._cover = await self._bus.subscribe(self._covers, self._on_cover)
        if self._outside is None:
            await self._step_in()

    async def leave(self) -> None:
        """Take no more, for good; on return what was sent to us is handled."""
        self._gone = True
        self._word.set()
        if self._cover is not None:
            await self._cover.leave()
        if self._outside is not None:
            await self._outside
        await self._step_out()

    def held_up(self) -> None:
        """Calls have waited for us unread, and may again: ask for somebody to stand in."""
        with suppress(Error):  # the bus is away
            self._bus.publish(self._question, self._function)

    def _on_cover(self, message: Message) -> None:
        try:
            self._over = Cover.decode(message.body) is Cover.OVER
        except ProtocolError as error:
            logger.info("%s", error)
            return
        self._word.set()
        if not self._over and self._outside is None:
            self._outside = self._tasks.loop(self._stay_out(), "membership")

    async def _stay_out(self) -> None:
        await self._step_out()
        async for _ in turns(self._next_word, within=PATIENCE, at_once=False):
            if not await self._covered():
                break
            self._word.clear()
        self._outside = None

    async def _next_word(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._word.wait()

    async def _covered(self) -> bool:
        """Whether to stay out for longer; steps in when there was no word."""
        try:
            await self._bus.flush()  # we may have been held up ourselves: hear what was said meanwhile
            if self._word.is_set() and not self._over and not self._gone:
                return True
            await self._step_in()
        except Error:  # the bus is away, so nobody takes calls
            return not self._gone
        return False

    async def _step_in(self) -> None:
        async with self._changing:
            if self._member is None and not self._gone:
                self._member = await self._bus.subscribe(self._calls, self._on_call, queue=QUEUE_GROUP)

    async def _step_out(self) -> None:
        async with self._changing:
            member, self._member = self._member, None
            if member is not None:
                await member.leave()
