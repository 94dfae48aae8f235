"""The bus side of a map: puts its messages into the job queue, listens for results, and looks after silent messages.

A message stays in the stream until it was answered, so one that is neither in the stream nor answered was lost on its
way back: it is sent again. A message that was split or rescued on its way has further sequences, told by beats.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from busfn.bus.base import Channel, Message
from busfn.errors import Error, QueueFull
from busfn.invoke.link import Link, Target
from busfn.invoke.payloads import discard, fetch, spills, stow
from busfn.protocol.codecs import Payload
from busfn.protocol.envelope import Answer, Call, Status, read_answer

SILENCE = 5.0
"""Seconds without news of a message after which it is looked up in the stream."""
TICK = 1.0
LOOKS = 16
"""Messages looked up in one tick; the rest waits for the next."""
FULL_PAUSE = 0.25
"""Seconds before a refused message is offered to a full queue again."""


@dataclass(frozen=True, slots=True)
class Recheck:
    """A message seems lost: whoever knows its results must send again what is missing."""

    first: int


@dataclass(slots=True)
class _Parcel:
    call: Call
    heard: float
    sequences: set[int] = field(default_factory=set[int])
    missing: bool = False


class Carrier:
    """Messages of one map that are out."""

    def __init__(self, link: Link, target: Target, deliver: Callable[[Answer | Recheck | BaseException], None]) -> None:
        self._link = link
        self._target = target
        self._deliver = deliver
        self._parcels: dict[int, _Parcel] = {}
        self._channel: Channel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.TimerHandle | None = None
        self._call_id = ""

    def begin(self) -> None:
        """Open the channel for results."""
        self._channel = self._link.bus.channel(self._on_message)
        self._ticker = self._link.portal.loop.call_later(TICK, self._tick)

    def send(self, call: Call) -> None:
        """Put a message into the queue."""
        self._call_id = call.call
        parcel = self._parcels[call.index] = _Parcel(call, time.monotonic())
        self._spawn(self._enqueue(parcel, call, f"{call.call}.{call.index}"))

    def resend(self, first: int, select: tuple[int, int]) -> None:
        """Put a part of a message into the queue again."""
        parcel = self._parcels.get(first)
        if parcel is not None:
            self._spawn(self._enqueue(parcel, replace(parcel.call, select=select), ""))

    def complete(self, first: int) -> None:
        """All results of the message arrived."""
        parcel = self._parcels.pop(first, None)
        if parcel is not None and parcel.call.payload.blob is not None:
            self._spawn(discard(self._link.bus, parcel.call.payload))

    def end(self) -> None:
        """The consumer is done: take what was not started out of the queue."""
        if self._channel is None:
            return
        self._channel.close()
        self._channel = None
        if self._ticker is not None:
            self._ticker.cancel()
        if self._parcels:
            self._spawn(self._purge())

    async def _purge(self) -> None:
        subject = self._link.subjects.job(self._target.app, self._target.function, self._call_id)
        await self._link.bus.queues.withdraw(self._link.subjects.stream("JOBS"), subject)
        for first in list(self._parcels):
            self.complete(first)

    async def _enqueue(self, parcel: _Parcel, call: Call, msg_id: str) -> None:
        if self._channel is None:
            return
        if spills(call.payload):
            parcel.call = replace(parcel.call, payload=await self._stow(call))
            call = replace(call, payload=parcel.call.payload)
        headers = replace(call, reply=self._channel.subject).headers()
        subject = self._link.subjects.job(self._target.app, self._target.function, call.call)
        parcel.sequences.add(await self._offer(subject, call, headers, msg_id))
        parcel.heard, parcel.missing = time.monotonic(), False

    async def _stow(self, call: Call) -> Payload:
        return await stow(self._link.bus, call.payload, reference=f"{call.call}.{call.index}")

    async def _offer(self, subject: str, call: Call, headers: dict[str, str], msg_id: str) -> int:
        while True:
            try:
                return await self._link.bus.queues.enqueue(subject, call.payload.body, headers, msg_id=msg_id)
            except QueueFull:  # back-pressure: the map goes on as soon as there is room
                await asyncio.sleep(FULL_PAUSE)

    def _on_message(self, message: Message) -> None:
        try:
            answer = read_answer(message.headers, message.body)
        except Error as error:
            self._deliver(error)
            return
        if answer.status is Status.BEAT:
            self._on_beat(answer)
        elif answer.payload.blob is not None:
            self._spawn(self._fetch(answer))
        else:
            self._deliver(answer)

    def _on_beat(self, answer: Answer) -> None:
        for first, parcel in self._parcels.items():
            if first <= answer.index < first + parcel.call.count:
                parcel.heard, parcel.missing = time.monotonic(), False
                parcel.sequences.add(answer.sequence)
                return

    async def _fetch(self, answer: Answer) -> None:
        self._deliver(replace(answer, payload=await fetch(self._link.bus, answer.payload)))
        await discard(self._link.bus, answer.payload)

    def _tick(self) -> None:
        self._ticker = self._link.portal.loop.call_later(TICK, self._tick)
        if not self._link.bus.connected:
            return
        before = time.monotonic() - SILENCE
        silent = [parcel for parcel in self._parcels.values() if parcel.sequences and parcel.heard < before]
        if silent:
            self._spawn(self._look(silent[:LOOKS]))

    async def _look(self, parcels: list[_Parcel]) -> None:
        stream = self._link.subjects.stream("JOBS")
        for parcel in parcels:
            found = False
            for sequence in sorted(parcel.sequences, reverse=True):
                found = found or await self._link.bus.queues.peek(stream, sequence) is not None
            if found or not parcel.missing:
                parcel.missing = not found
                parcel.heard = time.monotonic() if found else parcel.heard
            else:
                parcel.missing, parcel.heard = False, time.monotonic()
                parcel.sequences.clear()
                self._deliver(Recheck(parcel.call.index))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._link.portal.loop.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Error as error:
            self._deliver(error)
