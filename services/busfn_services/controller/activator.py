"""Stands in for a function's workers while there are none, or while they had better not take calls themselves.

It queues calls, or refuses them while the function cannot start.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from busfn.bus.base import Delivery, Message, Puller, Subscription, Verdict
from busfn.concurrency.loops import Tasks, every
from busfn.errors import Error, ServiceError
from busfn.protocol.admission import Way
from busfn.protocol.control import Cover
from busfn.protocol.subjects import QUEUE_GROUP
from busfn.spec import FunctionSpec
from busfn.streams import consumers
from busfn_services.handon import RESENT_AFTER, Context, admit, decline, hand_on, refuse, unfit
from busfn_services.pulse import Pulse

COVER_FOR = 60.0
"""Seconds that it takes calls after a worker has asked for it."""
COVER_EVERY = 0.5
"""Seconds between two words to the workers that stay out."""
COVER_MARGIN = 5.0
"""Seconds after the last word in which they come back."""
REFUSED_AT_ONCE = 64
KEEP_PAUSE = 1.0
"""Seconds after which a durable call is offered again while its function cannot start."""

logger = logging.getLogger("busfn.controller")


class Activator:
    """A function's stand-in; a member of its queue group while it has joined."""

    def __init__(self, context: Context, spec: FunctionSpec, pulse: Pulse, on_call: Callable[[], None]) -> None:
        self._context = context
        self._spec = spec
        self._pulse = pulse
        self._on_call = on_call
        self._member: Subscription | None = None
        self._changing = asyncio.Lock()
        self._covering_until = 0.0
        self._covering: asyncio.Task[None] | None = None
        self._refusal: Error | None = None
        self._pullers: list[Puller] = []
        self._tasks = Tasks(logger)
        self._handing_on: set[asyncio.Task[None]] = set()

    @property
    def joined(self) -> bool:
        """Whether it takes calls."""
        return self._member is not None

    @property
    def covering(self) -> bool:
        """Whether workers stay out for it."""
        return self._covering is not None

    def cover(self) -> None:
        """Take calls for a while although there are workers, and tell them to stay out."""
        self._covering_until = time.monotonic() + COVER_FOR
        if self._covering is None:
            self._covering = self._tasks.loop(self._cover(), "cover", self._spec.label)

    async def _cover(self) -> None:
        async for _ in every(COVER_EVERY):
            if time.monotonic() >= self._covering_until:
                break
            try:
                await self.join()
                self._tell(Cover.STANDS)
            except Error as error:  # the bus is away
                logger.info("%s: calls cannot be taken for its workers: %s", self._spec.label, error)
        self._tell(Cover.OVER)
        await asyncio.sleep(COVER_MARGIN)
        self._covering = None
        self._on_call()

    def _tell(self, word: Cover) -> None:
        subject = self._context.subjects.cover(self._spec.app, self._spec.name)
        with suppress(Error):  # the bus is away: workers come back without a word
            self._context.bus.publish(subject, word.value)

    async def close(self) -> None:
        """`leave` for good."""
        if self._covering is not None:
            self._covering.cancel()
            self._tell(Cover.OVER)
        await self.leave()

    async def join(self) -> None:
        """Take calls; on return the server knows."""
        async with self._changing:
            if self._member is None:
                subject = self._context.subjects.function(self._spec.app, self._spec.name)
                self._member = await self._context.bus.subscribe(subject, self._on_message, queue=QUEUE_GROUP)

    async def leave(self) -> None:
        """Take no more; on return all that was taken is handed on."""
        async with self._changing:
            member, self._member = self._member, None
            if member is not None:
                await member.leave()
        await asyncio.gather(*self._handing_on, return_exceptions=True)

    async def refuse(self, error: ServiceError) -> None:
        """Answer all calls with an error, those that wait and those to come, until `accept`."""
        self._refusal = error
        if not self._pullers:
            queues, spec = self._context.bus.queues, self._spec
            found = consumers(self._context.subjects, spec.app, spec.name)
            for way, consumer in zip((Way.OVERFLOW, Way.JOB), found, strict=True):
                puller = queues.pull(consumer, lambda: REFUSED_AT_ONCE, partial(self._refuse_delivery, way))
                self._pullers.append(puller)

    async def accept(self) -> None:
        """Queue calls again."""
        self._refusal = None
        pullers, self._pullers = self._pullers, []
        for puller in pullers:
            await puller.stop()

    def _on_message(self, message: Message) -> None:
        call = admit(self._context, message, Way.DIRECT, time.time())
        if call is None:
            return
        if self._pulse.unread() >= RESENT_AFTER and not call.foreign:
            decline(self._context.bus, call)
        elif self._refusal is not None:
            refuse(self._context.bus, self._context.codecs, call, self._refusal)
        else:
            task = self._tasks.spawn(
                hand_on(self._context, self._spec.app, self._spec.name, call), f"a call of {self._spec.label}"
            )
            self._handing_on.add(task)
            task.add_done_callback(self._handing_on.discard)
        self._on_call()

    def _refuse_delivery(self, way: Way, delivery: Delivery) -> None:
        if self._refusal is None:
            self._context.bus.queues.settle(delivery.token, Verdict.NAK)
            return
        now = time.time()
        call = admit(self._context, delivery.message, way, now)
        unread = call is None and way is Way.JOB and unfit(delivery.message, now) is not None
        if unread or (call is not None and not call.reply):  # it was accepted: it waits until a worker starts
            self._context.bus.queues.settle(delivery.token, Verdict.NAK, delay=KEEP_PAUSE)
            return
        if call is not None:
            refuse(self._context.bus, self._context.codecs, call, self._refusal)
        self._context.bus.queues.settle(delivery.token, Verdict.ACK)
