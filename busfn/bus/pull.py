"""A standing request for the messages of a consumer."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from busfn.bus.base import ConsumerSpec, Delivery, Verdict
from busfn.bus.frames import Inbound
from busfn.concurrency.loops import Tasks, every, isolated
from busfn.errors import Error, ProtocolError
from busfn.protocol.border import is_number

if TYPE_CHECKING:
    from busfn.bus.core import NatsBus
    from busfn.bus.jetstream import NatsQueues

log = logging.getLogger("busfn.bus")

EXPIRES = 30.0
HEARTBEAT = 5.0
MAX_NUMBER = (1 << 63) - 1
_NANO = 1_000_000_000
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_GONE = ("consumer deleted", "consumer not found", "stream deleted")


class Place(NamedTuple):
    """What an ack subject tells."""

    sequence: int
    """Place of the message in its stream."""
    deliveries: int
    order: int
    """Number among all deliveries of the consumer."""
    stored_at: float
    """Unix seconds."""


def read_token(token: str) -> Place:
    """Reads either form of ack subject; raises `ProtocolError`."""
    return _read_token(token)[1]


def _read_token(token: str) -> tuple[list[str], Place]:
    """Stream and consumer, and the rest.

    ``$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<order>.<nanoseconds>.<pending>`` has 9 tokens; the second
    form has the domain and the hash of the account before the stream, and perhaps one more token at the end.
    """
    parts = token.split(".")
    at = {9: 4, 11: 6, 12: 6}.get(len(parts), 0)
    numbers = parts[at : at + 4]
    if not at or parts[:2] != ["$JS", "ACK"] or not all(is_number(text, MAX_NUMBER) for text in numbers):
        raise ProtocolError(f"not an ack subject: {token[:200]!r}")
    deliveries, sequence, order, stored_at = map(int, numbers)
    return parts[at - 2 : at], Place(sequence, deliveries, order, stored_at / _NANO)


class Origin:
    """Tells the deliveries of a consumer from what anybody may send to the inbox where they come.

    The server delivers a message under the subject that it is stored under, and others can only publish to the inbox
    itself. The ack subject must be one of this consumer, too: that is where the message is settled.
    """

    def __init__(self, consumer: ConsumerSpec) -> None:
        self._names = [consumer.stream, consumer.name]
        self._subject = consumer.subject
        self._stem = re.split(r"[*>]", consumer.subject, maxsplit=1)[0]

    def place(self, subject: str, token: str) -> Place:
        """What the ack subject of a delivery tells. Raises `ProtocolError` when it is no delivery of the consumer."""
        known = subject.startswith(self._stem) if self._stem != self._subject else subject == self._subject
        if not known:
            raise ProtocolError(f"{subject[:200]!r} is not what {self._names[1]} delivers")
        names, place = _read_token(token)
        if names != self._names:
            raise ProtocolError(f"{token[:200]!r} is no ack subject of {self._names[1]}")
        return place


class NatsPuller:
    """Keeps as many deliveries asked for as there is capacity; see `busfn.bus.base.Puller`.

    A pull that was served in full ends without a word, so we count: `_asked` is what the server may still send.
    """

    def __init__(
        self,
        bus: NatsBus,
        queues: NatsQueues,
        consumer: ConsumerSpec,
        capacity: Callable[[], int],
        handler: Callable[[Delivery], None],
        inbox: str,
        done: Callable[[Delivery], None],
    ) -> None:
        self._bus = bus
        self._queues = queues
        self._consumer = consumer
        self._origin = Origin(consumer)
        self._label = f"{consumer.name} on {consumer.stream}"
        self._capacity = capacity
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._done = done
        self._inbox = inbox
        self._api = f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.name}"
        self._asked = 0
        self._pulls = 0
        self._scheduled = False
        self._stopped = False
        self._heard = self._patient_since = time.monotonic()
        self._unanswered = False
        """The server has lost what we asked for before, and has not said a word since."""
        self._pause = _FIRST_PAUSE
        self._repairing: asyncio.Task[None] | None = None
        self._subscription = bus.listen(f"{self._inbox}.*", self._receive)
        self._tasks = Tasks(log)
        self._tasks.loop(self._watch(), "pulls", self._label)
        self.wake()

    @property
    def heard(self) -> float:
        return self._heard if self._asked or self._unanswered else time.monotonic()

    # asking

    def wake(self) -> None:
        """Capacity may have grown: ask for more with the next turn of the loop."""
        if not self._scheduled and not self._stopped:
            self._scheduled = True
            self._loop.call_soon(self._refill)

    def _refill(self) -> None:
        self._scheduled = False
        if self._stopped or self._repairing is not None or not self._bus.connected:
            return
        capacity = self._capacity()
        if capacity > 0 and self._asked <= capacity // 2:  # not a request for each message
            self._ask(capacity - self._asked)

    def _ask(self, batch: int) -> None:
        if self._asked == 0:
            self._patient_since = time.monotonic()
            if not self._unanswered:
                self._heard = self._patient_since
        self._asked += batch
        self._pulls += 1
        request = {"batch": batch, "expires": int(EXPIRES * _NANO), "idle_heartbeat": int(HEARTBEAT * _NANO)}
        self._bus.publish(self._api, json.dumps(request).encode(), reply=f"{self._inbox}.{self._pulls}")

    def void(self) -> None:
        """Nothing comes of what we asked for."""
        self._asked = 0

    async def _watch(self) -> None:
        """Two missed heartbeats: the server has lost our pulls without telling."""
        async for _ in every(HEARTBEAT, at_once=False):
            with isolated(self._label):
                self._look()

    def _look(self) -> None:
        if self._asked and self._bus.connected and time.monotonic() - self._patient_since > 2 * HEARTBEAT + 1.0:
            log.warning("%s: no heartbeat, asking again", self._label)
            self.void()
            self._unanswered = True
            self.wake()

    # receiving

    def _receive(self, message: Inbound) -> None:
        self._heard = self._patient_since = time.monotonic()
        self._unanswered = False
        status = message.status
        if status:
            self._notice(status, message)
            return
        try:
            place = self._origin.place(message.subject, message.reply)
        except ProtocolError as error:
            log.debug("%s: left alone: %s", self._label, error)
            return
        self._pause = _FIRST_PAUSE
        self._asked = max(0, self._asked - 1)
        delivery = Delivery(message, message.reply, *place)
        if self._stopped:
            self._queues.settle(message.reply, Verdict.NAK)
        else:
            self._handler(delivery)
            self.wake()
        self._done(delivery)

    def _notice(self, status: str, message: Inbound) -> None:
        """A pull has ended, or lives: 100 heartbeat, 404/408 nothing came, 409 see the text, 503 no such consumer."""
        if status == "100":
            return
        text = message.headers.get("Description", "").lower()
        left = message.headers.get("Nats-Pending-Messages", "")
        self._asked = max(0, self._asked - int(left)) if is_number(left, MAX_NUMBER) else 0
        if status == "503" or any(reason in text for reason in _GONE):
            self._repair()
        elif status == "408" or "batch completed" in text:
            self.wake()
        elif not self._stopped:
            log.info("%s: pull ended with %s %s", self._label, status, text)
            self._loop.call_later(self._next_pause(), self.wake)

    def _next_pause(self) -> float:
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE)
        return pause * random.uniform(0.5, 1.0)

    def _repair(self) -> None:
        self.void()
        if self._repairing is None and not self._stopped:
            self._repairing = self._tasks.spawn(self._ensure(), self._label)

    async def _ensure(self) -> None:
        """Make the consumer again; who may not do that waits for somebody who may."""
        try:
            await asyncio.sleep(self._next_pause())
            await self._queues.ensure_consumer(self._consumer)
        except Error as error:
            log.warning("%s cannot be made again: %s", self._label, error)
        finally:
            self._repairing = None
        self.wake()  # if it is still missing, the server says so and we come back

    # ending

    async def stop(self) -> None:
        """Take no more; what still arrives is naked. Idempotent."""
        self._stopped = True
        await self._tasks.cancel()
        await self._subscription.leave()
        self._queues.forget_puller(self)
