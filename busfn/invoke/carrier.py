"""The bus side of a map: puts its messages into the job queue, listens for results, and looks after silent messages.

A message stays in the stream until it was answered, so one that is neither in the stream nor answered was lost on its
way back: it is sent again. A message that was split or rescued on its way has further sequences, told by beats.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from busfn.bus.base import Channel, Message, Outgoing
from busfn.errors import ConnectionError, Error, QueueFull
from busfn.ids import new_call_id
from busfn.invoke.delays import withdraw_messages
from busfn.invoke.link import Link
from busfn.invoke.payloads import discard, fetch, spills, stow
from busfn.protocol import headers as h
from busfn.protocol.border import NO_CALL
from busfn.protocol.envelope import Answer, Call, Status, id_of, read_answer
from busfn.protocol.names import Target

SILENCE = 5.0
"""Seconds without news of a message after which it is looked up in the stream."""
TICK = 1.0
LOOKS = 16
"""Messages looked up in one tick; the rest waits for the next."""
MOST_TOGETHER = 64
"""Messages stored in one go."""
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
        self._call_id = NO_CALL
        self._reply: dict[str, str] = {}
        self._waiting: list[tuple[_Parcel, Outgoing]] = []
        self._storing = False
        self._looking = False

    def begin(self) -> None:
        """Open the channel for results."""
        self._channel = self._link.bus.channel(self._on_message)
        self._reply = {h.REPLY: self._channel.subject}
        self._ticker = self._link.portal.loop.call_later(TICK, self._tick)

    def send(self, call: Call) -> None:
        """Put a message into the queue."""
        self._call_id = call.call
        parcel = self._parcels[call.index] = _Parcel(call, time.monotonic())
        if spills(self._link.bus, call.payload):
            self._spawn(self._stow(parcel))
        else:
            self._offer(parcel)

    def resend(self, first: int, select: tuple[int, int]) -> None:
        """Put a part of a message into the queue again."""
        parcel = self._parcels.get(first)
        if parcel is not None:
            self._offer(parcel, select)

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
        app, function = self._target.app, self._target.function
        await withdraw_messages(self._link.bus, self._link.subjects, app, function, self._call_id)
        for first in list(self._parcels):
            self.complete(first)

    async def _stow(self, parcel: _Parcel) -> None:
        """Put large arguments into the blob store, and the message into the queue."""
        call = parcel.call
        reference = f"{call.call}.{call.index}"
        parcel.call = call.copy(payload=await stow(self._link.bus, call.payload, reference=reference))
        if self._channel is None:  # the consumer has left, and what it had sent was withdrawn
            await discard(self._link.bus, parcel.call.payload)
        else:
            self._offer(parcel)

    def _offer(self, parcel: _Parcel, select: tuple[int, int] | None = None) -> None:
        self._waiting.append((parcel, self._message(parcel.call, select)))
        if not self._storing:
            self._storing = True
            self._spawn(self._store_waiting())

    def _message(self, call: Call, select: tuple[int, int] | None) -> Outgoing:
        part = call.copy(select=select) if select else call
        return Outgoing(
            subject=self._link.subjects.job(self._target.app, self._target.function, call.call),
            body=call.payload.body,
            headers=part.headers() | self._reply,
            # What is sent again was stored before.
            msg_id=new_call_id() if select else f"{call.call}.{call.index}",
        )

    async def _store_waiting(self) -> None:
        """Store what waits; what comes meanwhile is stored together."""
        try:
            while self._waiting and self._channel is not None:
                batch, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
                sequences = await self._store([message for _, message in batch])
                now = time.monotonic()
                for (parcel, _), sequence in zip(batch, sequences, strict=True):
                    parcel.sequences.add(sequence)
                    parcel.heard, parcel.missing = now, False
        finally:
            self._storing = False

    async def _store(self, messages: Sequence[Outgoing]) -> Sequence[int]:
        while self._channel is not None:
            try:
                return await self._link.bus.queues.enqueue_each(messages)
            except QueueFull:  # back-pressure: the map goes on as soon as there is room
                await asyncio.sleep(FULL_PAUSE)
        return [0] * len(messages)

    def _on_message(self, message: Message) -> None:
        try:
            answer = read_answer(message.headers, message.body)
        except Error as error:
            if id_of(message.headers, NO_CALL) == self._call_id:
                self._deliver(error)
            return
        if answer.call != self._call_id:
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
        self._deliver(answer.copy(payload=await fetch(self._link.bus, answer.payload)))
        await discard(self._link.bus, answer.payload)

    def _tick(self) -> None:
        self._ticker = self._link.portal.loop.call_later(TICK, self._tick)
        if not self._link.bus.connected:
            return
        before = time.monotonic() - SILENCE
        silent = [parcel for parcel in self._parcels.values() if parcel.sequences and parcel.heard < before]
        if silent and not self._looking:
            self._looking = True
            self._spawn(self._look(silent[:LOOKS]))

    async def _look(self, parcels: list[_Parcel]) -> None:
        try:
            await self._look_at_each(parcels)
        except ConnectionError:  # another look will tell
            return
        finally:
            self._looking = False

    async def _look_at_each(self, parcels: list[_Parcel]) -> None:
        for parcel in parcels:
            found = False
            for sequence in sorted(parcel.sequences, reverse=True):
                found = found or await self._is_stored(sequence)
            if found or not parcel.missing:
                parcel.missing = not found
                parcel.heard = time.monotonic() if found else parcel.heard
            else:
                parcel.missing, parcel.heard = False, time.monotonic()
                parcel.sequences.clear()
                self._deliver(Recheck(parcel.call.index))

    async def _is_stored(self, sequence: int) -> bool:
        """In the queue, or put off: an input that is tried again may wait for long. Places are numbered in each."""
        for stream in ("JOBS", "DELAYED"):
            found = await self._link.bus.queues.peek(self._link.subjects.stream(stream), sequence)
            if found is not None and self._call_id in found.subject.split("."):
                return True
        return False

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._link.portal.loop.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Error as error:
            self._deliver(error)
