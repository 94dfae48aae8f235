"""Work queues in memory: the counterpart of `busfn.bus.jetstream`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from busfn.bus.base import (
    NO_HEADERS,
    ConsumerSpec,
    Delivery,
    Headers,
    Kept,
    Lag,
    Message,
    Outgoing,
    StreamSpec,
    SubjectFull,
    Verdict,
    nothing,
)
from busfn.bus.layout import check_layout
from busfn.bus.memory_stream import MemoryMessage, MemoryStream
from busfn.bus.patterns import matches, overlap
from busfn.bus.pull import read_token
from busfn.errors import ConflictError, ConnectionError, Error, InvalidError, NotFoundError, QueueFull

if TYPE_CHECKING:
    from busfn.bus.memory import MemoryBroker, MemoryBus


class MemoryPuller:
    """A standing request for deliveries; see `busfn.bus.base.Puller`."""

    def __init__(
        self,
        queues: MemoryQueues,
        stream: MemoryStream,
        consumer: ConsumerSpec,
        capacity: Callable[[], int],
        handler: Callable[[Delivery], None],
        done: Callable[[Delivery], None],
    ) -> None:
        self._queues = queues
        self._stream = stream
        self._consumer = consumer
        self._capacity = capacity
        self._handler = handler
        self._done = done
        self._coming = 0
        self._stopped = False
        stream.pullers_of(consumer.name).append(self)
        queues.broker.post(self.repair)
        stream.serve()

    @property
    def heard(self) -> float:
        return time.monotonic()

    def room(self) -> int:
        """How many deliveries it can take beyond those on their way to it."""
        return 0 if self._stopped else self._capacity() - self._coming

    def take(self, delivery: Delivery) -> None:
        """Bring a delivery on its way."""
        self._coming += 1
        self._queues.broker.post(lambda: self._arrive(delivery))

    def _arrive(self, delivery: Delivery) -> None:
        self._coming -= 1
        if self._stopped:
            self._queues.settle(delivery.token, Verdict.NAK)
        else:
            self._handler(delivery)
            self.wake()
        self._done(delivery)

    def wake(self) -> None:
        """Capacity may have grown."""
        if not self._stopped:
            self._stream.serve()

    def repair(self) -> None:
        """Make the consumer, unless it is there."""
        self._stream.add_consumer(self._consumer)

    async def stop(self) -> None:
        """Take no more; what is on its way is naked. Idempotent."""
        self._stopped = True
        pullers = self._stream.pullers_of(self._consumer.name)
        if self in pullers:
            pullers.remove(self)
            await self._queues.bus.flush()
            self._queues.pullers.discard(self)


class MemoryQueues:
    """Work queues in memory; see `busfn.bus.base.Queues`."""

    def __init__(self, bus: MemoryBus, broker: MemoryBroker) -> None:
        self.bus = bus
        self.broker = broker
        self.pullers: set[MemoryPuller] = set()

    async def ensure_stream(self, spec: StreamSpec) -> None:
        existing = self.broker.streams.get(spec.name)
        if existing is None:
            self._check_subjects(spec)
            self.broker.streams[spec.name] = MemoryStream(spec, self.broker)
        elif (existing.spec.kind, existing.spec.memory) != (spec.kind, spec.memory):
            raise ConflictError(f"stream {spec.name} exists with another kind or storage")
        else:
            check_layout(spec.name, existing.spec.layout, spec.layout)
            existing.upgrade(spec)

    def _check_subjects(self, spec: StreamSpec) -> None:
        kept = [subject for stream in self.broker.streams.values() for subject in stream.spec.subjects]
        if any(overlap(mine, other) for mine in spec.subjects for other in kept):
            raise ConflictError(f"stream {spec.name}: another stream keeps its subjects already")

    def _stream(self, name: str) -> MemoryStream:
        stream = self.broker.streams.get(name)
        if stream is None:
            raise NotFoundError(f"there is no stream {name}")
        stream.sweep()
        return stream

    async def ensure_consumer(self, spec: ConsumerSpec) -> None:
        self._stream(spec.stream).add_consumer(spec)

    async def enqueue(
        self, subject: str, body: bytes, headers: Headers = NO_HEADERS, *, msg_id: str = "", timeout: float = 15.0
    ) -> int:
        if self.broker.stream_of(subject) is None:
            raise ConnectionError(f"{subject} could not be stored: no stream keeps it")
        named = {**headers, "Nats-Msg-Id": msg_id} if msg_id else headers
        answer = json.loads((await self.bus.request(subject, body, named, timeout=timeout)).body)
        if "error" in answer:
            why = str(answer["error"]["description"])
            raise (SubjectFull if "per subject" in why else QueueFull)(f"{subject}: {why}")
        return int(answer["seq"])

    async def enqueue_all(self, messages: Sequence[Outgoing], *, timeout: float = 15.0) -> None:
        stream = self.broker.stream_of(messages[0].subject)
        if stream is None:
            raise ConnectionError(f"{messages[0].subject} could not be stored: no stream keeps it")
        await self.bus.flush(timeout)  # behind what this connection has sent before
        stream.store_all(
            [MemoryMessage(m.subject, "", m.body, {**m.headers, "Nats-Msg-Id": m.msg_id}) for m in messages]
        )

    async def enqueue_each(self, messages: Sequence[Outgoing], *, timeout: float = 15.0) -> list[int]:
        return [await self._place(message, timeout) for message in messages]

    async def _place(self, message: Outgoing, timeout: float) -> int:
        try:
            return await self.enqueue(
                message.subject, message.body, message.headers, msg_id=message.msg_id, timeout=timeout
            )
        except SubjectFull:
            return 0

    def pull(
        self,
        consumer: ConsumerSpec,
        capacity: Callable[[], int],
        handler: Callable[[Delivery], None],
        *,
        inbox: str = "",
        done: Callable[[Delivery], None] = nothing,
    ) -> MemoryPuller:
        """No other process can watch an ``inbox`` in our memory."""
        puller = MemoryPuller(self, self._stream(consumer.stream), consumer, capacity, handler, done)
        self.pullers.add(puller)
        return puller

    async def stop_pulls(self) -> None:
        """Stop all pullers."""
        for puller in list(self.pullers):
            await puller.stop()

    def settle(self, token: str, verdict: Verdict, *, delay: float = 0.0) -> None:
        if delay > 0 and verdict is not Verdict.NAK:
            raise InvalidError("only a NAK can have a delay")
        self.bus.check_open()
        self.broker.post(lambda: self._settle(token, verdict, delay))

    def _settle(self, token: str, verdict: Verdict, delay: float) -> None:
        sequence = read_token(token).sequence
        _, _, stream, name, *_ = token.split(".")
        consumer = self.broker.streams[stream].consumers.get(name)
        if consumer is not None:
            consumer.settle(sequence, verdict, delay)

    async def confirm(self, token: str, *, timeout: float = 5.0) -> None:
        self.settle(token, Verdict.ACK)
        await self.bus.flush(timeout)

    async def peek(self, stream: str, sequence: int) -> Message | None:
        stored = self._stream(stream).messages.get(sequence)
        return stored.message if stored is not None else None

    async def oldest(self, stream: str, subject: str) -> Kept | None:
        try:
            messages = self._stream(stream).messages
        except NotFoundError:
            return None
        found = (number for number in sorted(messages) if matches(subject, messages[number].message.subject))
        number = next(found, 0)
        return Kept(number, messages[number].message) if number else None

    async def remove(self, stream: str, sequence: int) -> bool:
        kept = self._stream(stream)
        known = sequence in kept.messages
        kept.remove(sequence)
        return known

    async def latest(self, stream: str, subject: str) -> Message | None:
        stored = [each for each in self._stream(stream).messages.values() if matches(subject, each.message.subject)]
        return stored[-1].message if stored else None

    async def latest_each(self, stream: str, subjects: Sequence[str], most_bytes: int = 0) -> dict[str, Message]:
        wanted, stored = set(subjects), self._stream(stream).messages.values()
        found: dict[str, Message] = {}
        size = 0
        for message in (each.message for each in stored if each.message.subject in wanted):
            size += len(message.body)
            if found and 0 < most_bytes < size:
                break
            found[message.subject] = message
        return found

    async def subjects(self, stream: str, pattern: str) -> list[str]:
        found = self.broker.streams.get(stream)
        stored = found.messages.values() if found is not None else ()
        return sorted({each.message.subject for each in stored if matches(pattern, each.message.subject)})

    async def withdraw(self, stream: str, subject: str) -> None:
        await self.purge(stream, subject)

    async def purge(self, stream: str, subject: str) -> int:
        found = self._stream(stream)
        gone = [number for number, each in found.messages.items() if matches(subject, each.message.subject)]
        for number in gone:
            found.remove(number)
        return len(gone)

    async def lag(self, stream: str, consumer: str) -> Lag:
        found = self._stream(stream).consumers.get(consumer)
        if found is None:
            raise NotFoundError(f"there is no consumer {consumer} on {stream}")
        return found.lag()

    async def delete_consumer(self, stream: str, consumer: str) -> None:
        try:
            self._stream(stream).drop_consumer(consumer)
        except Error:
            return  # there is nothing to delete
