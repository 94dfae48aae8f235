"""Streams and consumers in memory, with leases, redelivery and limits as JetStream has them."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from busfn.bus.base import ConsumerSpec, Delivery, Headers, Lag, StreamSpec, Verdict
from busfn.bus.patterns import matches, overlap
from busfn.errors import ConflictError, QueueFull

if TYPE_CHECKING:
    from busfn.bus.memory import MemoryBroker

_DEDUPE_WINDOW = 120.0


class Taker(Protocol):
    """Who takes deliveries."""

    def room(self) -> int:
        """How many deliveries it can take beyond those on their way to it."""
        ...

    def take(self, delivery: Delivery) -> None:
        """Bring a delivery on its way."""

    def repair(self) -> None:
        """The consumer was deleted."""


@dataclass(frozen=True, slots=True)
class MemoryMessage:
    """A message; see `busfn.bus.base.Message`."""

    subject: str
    reply: str
    body: bytes
    headers: Headers = field(default_factory=dict[str, str])

    @property
    def status(self) -> str:
        return self.headers.get("Status", "")


@dataclass(frozen=True, slots=True)
class _Stored:
    message: MemoryMessage
    size: int
    expires: float
    time: float


@dataclass(eq=False, slots=True)
class MemoryConsumer:
    """What the readers of one subject have before them."""

    spec: ConsumerSpec
    stream: MemoryStream
    fresh: deque[int] = field(default_factory=deque[int])
    """Sequences to be handed out; those handed out before come first."""
    leases: dict[int, asyncio.TimerHandle] = field(default_factory=dict[int, asyncio.TimerHandle])
    """Deliveries that are not settled, and when they are handed out again."""
    deliveries: dict[int, int] = field(default_factory=dict[int, int])
    handed_out: int = 0

    def serve(self, pullers: list[Taker]) -> None:
        """Hand out what there is to those who have room, in turn."""
        while self.fresh:
            puller = next((each for each in pullers if each.room() > 0), None)
            if puller is None:
                return
            pullers.remove(puller)
            pullers.append(puller)
            sequence = self.fresh.popleft()
            stored = self.stream.messages.get(sequence)
            if stored is not None:
                self._hand_out(sequence, stored, puller)

    def _hand_out(self, sequence: int, stored: _Stored, puller: Taker) -> None:
        times = self.deliveries[sequence] = self.deliveries.get(sequence, 0) + 1
        self._lease(sequence, self.spec.ack_wait)
        self.handed_out += 1
        place = f"{times}.{sequence}.{self.handed_out}"
        token = f"$JS.ACK.{self.spec.stream}.{self.spec.name}.{place}.0.{len(self.fresh)}"
        puller.take(Delivery(stored.message, token, sequence, times, self.handed_out, stored.time))

    def _lease(self, sequence: int, seconds: float) -> None:
        self.leases[sequence] = asyncio.get_running_loop().call_later(seconds, self._lapse, sequence)

    def _lapse(self, sequence: int) -> None:
        """The lease ran out: hand it out again."""
        self.release(sequence)
        if sequence in self.stream.messages:
            self.fresh.appendleft(sequence)
            self.stream.serve()

    def release(self, sequence: int) -> bool:
        """End a lease; tells whether there was one."""
        timer = self.leases.pop(sequence, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def settle(self, sequence: int, verdict: Verdict, delay: float) -> None:
        """Do what a worker said of a delivery."""
        if verdict in (Verdict.ACK, Verdict.TERM):
            self.stream.remove(sequence)
        elif self.release(sequence):
            if verdict is Verdict.PROGRESS:
                self._lease(sequence, self.spec.ack_wait)
            elif delay > 0:
                self._lease(sequence, delay)
            else:
                self._lapse(sequence)

    def lag(self) -> Lag:
        """See `busfn.bus.base.Lag`."""
        waiting = sum(puller.room() > 0 for puller in self.stream.pullers_of(self.spec.name))
        return Lag(len(self.fresh), len(self.leases), waiting)


class MemoryStream:
    """Stored messages and their consumers."""

    def __init__(self, spec: StreamSpec, broker: MemoryBroker) -> None:
        self.spec = spec
        self._broker = broker
        self.last = 0
        """Sequence of the message that was stored last, whether it is still there or not."""
        self._seen: dict[str, tuple[int, float]] = {}
        self._pullers: dict[str, list[Taker]] = {}
        self._next_expiry = math.inf
        self.messages: dict[int, _Stored] = {}
        self.consumers: dict[str, MemoryConsumer] = {}

    def upgrade(self, spec: StreamSpec) -> None:
        """Take over what a newer layout adds; limits stay as they are."""
        if spec.layout > self.spec.layout:
            republish = spec.republish or self.spec.republish
            allow_ttl = spec.allow_ttl or self.spec.allow_ttl
            self.spec = replace(self.spec, layout=spec.layout, republish=republish, allow_ttl=allow_ttl)

    def accept(self, message: MemoryMessage) -> None:
        """Store what was published, and answer it as JetStream does."""
        try:
            answer: dict[str, object] = {"stream": self.spec.name, "seq": self.store(message)}
        except QueueFull as error:
            answer = {"error": {"code": 503, "err_code": 10077, "description": str(error)}}
        if message.reply:
            reply = MemoryMessage(message.reply, "", json.dumps(answer).encode())
            self._broker.post(lambda: self._broker.route(reply))

    def store(self, message: MemoryMessage) -> int:
        """Store a message once per id; raises `QueueFull`."""
        self.sweep()
        now = time.monotonic()
        known = self._seen.get(message.headers.get("Nats-Msg-Id", ""))
        if known is not None and now - known[1] < _DEDUPE_WINDOW:
            return known[0]
        size = len(message.subject) + len(message.body)
        self._make_room(message.subject, size)
        self.last += 1
        self._seen[message.headers.get("Nats-Msg-Id", "")] = (self.last, now)
        self._seen.pop("", None)
        plain = MemoryMessage(message.subject, "", message.body, message.headers)
        expires = self._expiry(message.headers, now)
        self._next_expiry = min(self._next_expiry, expires)
        self.messages[self.last] = _Stored(plain, size, expires, time.time())
        self._announce(self.last, plain)
        return self.last

    def store_all(self, messages: Sequence[MemoryMessage]) -> None:
        """Store all messages or, when they do not fit, none; raises `QueueFull`."""
        self.sweep()
        size = sum(len(message.subject) + len(message.body) for message in messages)
        if self.spec.discard_new and 0 < self.spec.max_bytes < size + sum(each.size for each in self.messages.values()):
            raise QueueFull("maximum bytes exceeded")
        for message in messages:
            self.store(message)

    def _make_room(self, subject: str, size: int) -> None:
        if self.spec.max_per_subject > 0:
            same = [number for number, each in self.messages.items() if each.message.subject == subject]
            if len(same) >= self.spec.max_per_subject and self.spec.discard_new:
                raise QueueFull("maximum messages per subject exceeded")
            for number in same[: len(same) - self.spec.max_per_subject + 1]:
                self.remove(number)
        while 0 < self.spec.max_bytes < size + sum(each.size for each in self.messages.values()):
            if self.spec.discard_new or not self.messages:
                raise QueueFull("maximum bytes exceeded")
            self.remove(min(self.messages))

    def _expiry(self, headers: Headers, now: float) -> float:
        ages = [self.spec.max_age] if self.spec.max_age else []
        if self.spec.allow_ttl and "Nats-TTL" in headers:
            ages.append(_seconds(headers["Nats-TTL"]))
        return now + min(ages) if ages else math.inf

    def _announce(self, sequence: int, message: MemoryMessage) -> None:
        for consumer in self.consumers.values():
            if matches(consumer.spec.subject, message.subject):
                consumer.fresh.append(sequence)
        self.serve()
        if self.spec.republish is not None:
            self._republish(*self.spec.republish, sequence, message)

    def _republish(
        self, source: str, destination: str, headers_only: bool, number: int, message: MemoryMessage
    ) -> None:
        if not matches(source, message.subject):
            return
        subject = destination.removesuffix(">") + message.subject[len(source.removesuffix(">")) :]
        facts = {"Nats-Stream": self.spec.name, "Nats-Subject": message.subject, "Nats-Sequence": str(number)}
        if headers_only:
            facts["Nats-Msg-Size"] = str(len(message.body))
        copy = MemoryMessage(subject, "", b"" if headers_only else message.body, {**message.headers, **facts})
        self._broker.post(lambda: self._broker.route(copy))

    def sweep(self) -> None:
        """Drop what has expired."""
        now = time.monotonic()
        if now < self._next_expiry:
            return
        for number in [number for number, each in self.messages.items() if each.expires <= now]:
            self.remove(number)
        self._next_expiry = min((each.expires for each in self.messages.values()), default=math.inf)

    def remove(self, sequence: int) -> None:
        """Forget a message, wherever it is."""
        self.messages.pop(sequence, None)
        for consumer in self.consumers.values():
            consumer.deliveries.pop(sequence, None)
            if not consumer.release(sequence) and sequence in consumer.fresh:
                consumer.fresh.remove(sequence)

    def serve(self) -> None:
        """Give consumers the chance to hand out, after what is on its way."""
        self._broker.post(self._serve_now)

    def _serve_now(self) -> None:
        self.sweep()
        for name, consumer in self.consumers.items():
            consumer.serve(self.pullers_of(name))

    def pullers_of(self, consumer: str) -> list[Taker]:
        """Who pulls from this consumer, whether it exists now or not."""
        return self._pullers.setdefault(consumer, [])

    def add_consumer(self, spec: ConsumerSpec) -> None:
        """Make a consumer; raises `ConflictError` when another one reads the same messages."""
        if spec.name in self.consumers:
            return
        if any(overlap(spec.subject, other.spec.subject) for other in self.consumers.values()):
            raise ConflictError(f"consumer {spec.name}: another consumer reads {spec.subject} already")
        consumer = self.consumers[spec.name] = MemoryConsumer(spec, self)
        consumer.fresh.extend(n for n, each in self.messages.items() if matches(spec.subject, each.message.subject))
        self.serve()

    def drop_consumer(self, name: str) -> None:
        """Take a consumer away; its pullers make it again if it was theirs."""
        consumer = self.consumers.pop(name, None)
        if consumer is not None:
            for sequence in list(consumer.leases):
                consumer.release(sequence)
            for puller in self.pullers_of(name):
                self._broker.post(puller.repair)


def _seconds(ttl: str) -> float:
    return float(ttl.removesuffix("s")) if not ttl.endswith("ms") else float(ttl.removesuffix("ms")) / 1000
