"""Puts calls that are not due for long off, and into their queue shortly before they are due.

The due time is a token of the subject under which such a call is stored, so a list of subjects is all that has to be
read. Any number of processes may do it: each message comes into its queue once, by its id.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Self

from busfn.bus.base import Headers, Kept, Message, Subscription
from busfn.concurrency.loops import Tasks, turns
from busfn.errors import Error, ProtocolError, QueueFull, ResourceExhaustedError
from busfn.invoke.delays import LEAD, overflow_at, queued_at, withdraw_messages
from busfn.protocol.border import NO_CALL, CallId
from busfn.protocol.envelope import Call, read_call
from busfn.protocol.headers import publishable
from busfn.protocol.subjects import Address
from busfn_services.agenda import Agenda, Entry
from busfn_services.flight import Kind
from busfn_services.handon import Context, beat, refuse

LIST_EVERY = 60.0
"""Seconds between two lists of all that is put off: word of one may be lost."""
MAX_DIGITS = 16
TOGETHER = 64
"""Calls that come into their queues at the same time."""
PAUSE = 1.0
"""Seconds until another attempt, when the bus does not answer or a queue is full."""

logger = logging.getLogger("busfn.delays")


def always() -> bool:
    """Where nobody else does it."""
    return True


class Promoter:
    """Brings delayed calls of an environment into their queues, while ``leads()``; use `start` and `stop`, or ``async
    with``."""

    def __init__(self, context: Context, leads: Callable[[], bool] = always) -> None:
        self._context = context
        self._leads = leads
        self._agenda = Agenda()
        self._listed = -math.inf
        self._woken = asyncio.Event()
        self._ears: list[Subscription] = []
        self._tasks = Tasks(logger)
        self._started = False
        self._pause = 0.0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Begin, unless it has."""
        if not self._started:
            self._started = True
            for subject in self._context.subjects.delays:
                self._ears.append(await self._context.bus.subscribe(subject, self._on_delay))
            self._context.bus.on_reconnect(self.read_again)
            self._tasks.loop(self._run(), "delays")

    async def stop(self) -> None:
        """End. Idempotent."""
        await self._tasks.cancel()
        while self._ears:
            await self._ears.pop().leave()

    def read_again(self) -> None:
        """Much may have changed: look at all that is put off."""
        self._listed = -math.inf
        self._woken.set()

    def _on_delay(self, message: Message) -> None:
        entry = self._entry(message.headers.get("Nats-Subject", ""))
        if entry is not None:
            earlier = entry.due < self._agenda.next
            self._agenda.add(entry)
            if earlier:
                self._woken.set()

    def _entry(self, subject: str) -> Entry | None:
        """When what is stored under a subject is due; None when that is none of ours: anybody may have written it."""
        subjects, due = self._context.subjects, subject.rpartition(".")[2]
        if not (due.isascii() and due.isdigit() and len(due) < MAX_DIGITS) or "*" in subject:
            return None
        try:
            address = subjects.parse(subject)
            known = address.kind != "delayed" or address.call
        except ProtocolError:
            return None
        stream = {"delayed": "DELAYED", "ovf": "OVF"}.get(address.kind)
        if stream is None or not known or due not in address.rest:
            return None
        return Entry(int(due) / 1000, subjects.stream(stream), subject)

    async def _run(self) -> None:
        async for _ in turns(self._rest, within=LIST_EVERY):
            self._woken.clear()
            try:
                self._pause = await self._step()
            except Error as error:
                logger.warning("it is not known which calls are due: %s", error)
                self._listed, self._pause = -math.inf, PAUSE

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._woken.wait()

    async def _step(self) -> float:
        """Do what is due; tells in how many seconds to look again."""
        if not self._leads():
            self._listed = -math.inf  # whoever leads does it: what is left then, we read
            return LIST_EVERY
        if time.monotonic() - self._listed > LIST_EVERY or self._agenda.exhausted:
            await self._list()
        due = list(islice(self._agenda.pop(time.time() + LEAD), TOGETHER))
        errors = [one for one in await asyncio.gather(*map(self._promoted, due)) if one is not None]
        if errors:
            logger.warning("%d calls are due, and cannot be put into their queues yet: %s", len(errors), errors[0])
            return PAUSE
        left = self._listed + LIST_EVERY - time.monotonic()
        return max(0.0, min(left, self._agenda.next - LEAD - time.time()))

    async def _list(self) -> None:
        subjects, queues = self._context.subjects, self._context.bus.queues
        began = time.monotonic()
        found = await queues.subjects(subjects.stream("DELAYED"), subjects.all_of("delayed"))
        found += await queues.subjects(subjects.stream("OVF"), subjects.all_delayed_overflow)
        self._agenda.replace(entry for entry in map(self._entry, found) if entry is not None)
        self._listed = began

    async def _promoted(self, entry: Entry) -> Error | None:
        """What went wrong; then it is tried again."""
        with self._tasks.faults.isolated(entry.subject):
            try:
                await self._promote(entry)
            except Error as error:
                self._agenda.add(entry)
                return error
        return None

    async def _promote(self, entry: Entry) -> None:
        """All messages of a subject: those of a call with many inputs share it."""
        address = self._context.subjects.parse(entry.subject)
        call = address.call if address.kind == "delayed" else NO_CALL
        oldest = self._context.bus.queues.oldest
        while (kept := await oldest(entry.stream, entry.subject)) is not None:
            if address.kind == "delayed":
                await self._promote_job(entry.stream, address, call, kept)
            else:
                await self._promote_call(entry.stream, address, kept)

    async def _promote_job(self, stream: str, address: Address, call: CallId, kept: Kept) -> None:
        bus, subjects = self._context.bus, self._context.subjects
        app, function = address.app, address.function
        await _enqueue(self._context, subjects.job(app, function, call), kept, call)
        if await bus.queues.remove(stream, kept.sequence):
            return
        # Others were faster: those who do the same, or the call was cancelled before we added to its queue.
        if await bus.queues.latest(subjects.stream("RES"), subjects.cancelled(app, function, call)) is not None:
            await withdraw_messages(bus, subjects, app, function, call)

    async def _promote_call(self, stream: str, address: Address, kept: Kept) -> None:
        """An interactive call, whose caller is told when there is no room for it."""
        bus, subject = self._context.bus, self._context.subjects.overflow(address.app, address.function)
        try:
            await _enqueue(self._context, subject, kept, NO_CALL)
        except QueueFull:
            error = ResourceExhaustedError(f"{address.app}.{address.function}: the queue of waiting calls is full")
            with suppress(ProtocolError):  # what cannot be read has no caller that we know
                call = read_call(kept.message.headers, b"", call=NO_CALL)
                refuse(bus, self._context.codecs, call, error)
        await bus.queues.remove(stream, kept.sequence)


async def put_off(context: Context, kind: Kind, app: str, function: str, call: Call, kept: Kept) -> None:
    """Store a message that came much too early until it is due; what was handed out is still to be settled."""
    place = queued_at if kind is Kind.JOB else overflow_at
    await _enqueue(context, place(context.subjects, app, function, call, time.time()), kept, call.call)


async def _enqueue(context: Context, subject: str, kept: Kept, call: CallId) -> None:
    """Store a message elsewhere, once, and tell its caller where. Whoever waits for it looks it up there."""
    headers, body = _own(kept.message.headers), kept.message.body
    place = f"{call}.{kept.message.subject.rpartition('.')[2]}.{kept.sequence}"
    sequence = await context.bus.queues.enqueue(subject, body, headers, msg_id=place)
    try:
        made = read_call(headers, body, call=call)
    except ProtocolError:  # whoever takes it says so
        return
    low = (made.select or (0, 0))[0]
    beat(context.bus, made.reply, made.call, index=made.index + low, sequence=sequence, foreign=made.foreign)


def _own(headers: Headers) -> dict[str, str]:
    """Without what the server has added, or did with the message before."""
    kept = {name: value for name, value in headers.items() if not name.startswith("Nats-") or "Service" in name}
    return publishable(kept)
