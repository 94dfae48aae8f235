"""Queues on JetStream, by plain requests and messages."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from busfn.bus.api import (
    CONSUMER_DIFFERS,
    CONSUMER_NOT_FOUND,
    FILTERS_OVERLAP,
    NO_MESSAGE,
    NOT_DELETED,
    OUT_OF_SPACE,
    STORE_REFUSED,
    STREAM_NOT_FOUND,
    TOO_LARGE,
    Api,
    ApiError,
    attempts,
    read_answer,
)
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
from busfn.bus.batch import store_batch
from busfn.bus.configs import consumer_config, stream_config
from busfn.bus.frames import Inbound
from busfn.bus.provision import Provisioner
from busfn.bus.pull import NatsPuller
from busfn.bus.stalls import Stalls
from busfn.errors import (
    ConflictError,
    ConnectionError,
    Error,
    InvalidError,
    NoResponders,
    NotFoundError,
    QueueFull,
    RequestSizeError,
    ServiceError,
)

if TYPE_CHECKING:
    from busfn.bus.core import NatsBus

_NANO = 1_000_000_000
_READ_TIMEOUT = 15.0
FEW = 16
"""Messages that are withdrawn one by one; more are purged."""
_PAGE_BYTES = 8 << 20
"""Of one answer to a question for many messages; the server would send 64 MiB in one go."""


class NatsQueues:
    """Work queues on JetStream; see `busfn.bus.base.Queues`."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self.api = Api(bus)
        self.streams = Provisioner(self.api, bus.replicas, lambda: bus.clustered)
        self._pullers: set[NatsPuller] = set()
        self._stalls = Stalls(bus)

    async def ensure_stream(self, spec: StreamSpec) -> None:
        await self.streams.ensure(stream_config(spec))

    async def ensure_consumer(self, spec: ConsumerSpec) -> None:
        payload = {"stream_name": spec.stream, "config": consumer_config(spec), "action": "create"}
        try:
            await self.api.call(f"CONSUMER.CREATE.{spec.stream}.{spec.name}.{spec.subject}", payload)
        except ApiError as error:
            if error.code == STREAM_NOT_FOUND:
                raise NotFoundError(f"there is no stream {spec.stream}") from error
            if error.code in FILTERS_OVERLAP:
                raise ConflictError(f"consumer {spec.name}: another consumer reads {spec.subject} already") from error
            if error.code != CONSUMER_DIFFERS:
                raise

    async def enqueue(
        self, subject: str, body: bytes, headers: Headers = NO_HEADERS, *, msg_id: str = "", timeout: float = 15.0
    ) -> int:
        # Always with an id: an answer may be lost after the message was stored, and we send it again then.
        named = {**headers, "Nats-Msg-Id": msg_id or headers.get("Nats-Msg-Id") or uuid.uuid4().hex}
        failure: Exception | None = None
        began = time.monotonic()
        async for left in attempts(self._bus, timeout):
            limit = self._stalls.limit(subject, left)
            try:
                return _sequence(await self._bus.ask(subject, body, named, timeout=limit, fragile=True), subject)
            except ConnectionError as error:  # no responders included: a leader may be about to be elected
                failure = error
                await self._stalls.check(subject, began)
            except ApiError as error:
                failure = _classify(error, subject)
        raise ConnectionError(f"{subject} could not be stored within {timeout:g} s: {failure}") from failure

    async def enqueue_all(self, messages: Sequence[Outgoing], *, timeout: float = 15.0) -> None:
        subject = messages[0].subject
        failure: Exception | None = None
        began = time.monotonic()
        async for left in attempts(self._bus, timeout):
            try:
                await store_batch(self._bus, messages, self._stalls.limit(subject, left))
                return
            except ConnectionError as error:
                failure = error
                await self._stalls.check(subject, began)
            except ApiError as error:
                failure = _classify(error, subject)
        raise ConnectionError(
            f"{len(messages)} messages ({subject} ...) could not be stored within {timeout:g} s: {failure}"
        ) from failure

    async def enqueue_each(self, messages: Sequence[Outgoing], *, timeout: float = 15.0) -> list[int]:
        stored: dict[int, int] = {}
        failure: Exception | None = None
        left = list(range(len(messages)))
        subject, began = messages[0].subject if messages else "", time.monotonic()
        async for seconds in attempts(self._bus, timeout):
            limit = self._stalls.limit(subject, seconds)
            answers = await self._bus.ask_each([messages[n] for n in left], timeout=limit)
            for number, answer in zip(left, answers, strict=True):
                try:
                    stored[number] = _place(answer, messages[number].subject)
                except (ConnectionError, ApiError) as error:  # that another attempt may change
                    failure = error
            left = [number for number in left if number not in stored]
            if not left:
                return [stored[number] for number in range(len(messages))]
            if isinstance(failure, ConnectionError):
                await self._stalls.check(subject, began)
        raise ConnectionError(
            f"{len(left)} of {len(messages)} messages could not be stored within {timeout:g} s: {failure}"
        ) from failure

    def pull(
        self,
        consumer: ConsumerSpec,
        capacity: Callable[[], int],
        handler: Callable[[Delivery], None],
        *,
        inbox: str = "",
        done: Callable[[Delivery], None] = nothing,
    ) -> NatsPuller:
        inbox = inbox or self._bus.new_inbox()
        puller = NatsPuller(self._bus, self, consumer, capacity, handler, inbox, done)
        self._pullers.add(puller)
        return puller

    def forget_puller(self, puller: NatsPuller) -> None:
        """Called by a puller that has stopped."""
        self._pullers.discard(puller)

    def renew_pulls(self) -> None:
        """There is a connection again: ask."""
        for puller in list(self._pullers):
            puller.wake()

    def void_pulls(self) -> None:
        """With the connection the server has forgotten what we asked for."""
        for puller in list(self._pullers):
            puller.void()

    async def stop_pulls(self) -> None:
        """Stop all pullers."""
        await asyncio.gather(*(puller.stop() for puller in list(self._pullers)))

    def settle(self, token: str, verdict: Verdict, *, delay: float = 0.0) -> None:
        body = verdict.value
        if delay > 0:
            if verdict is not Verdict.NAK:
                raise InvalidError("only a NAK can have a delay")
            body += json.dumps({"delay": int(delay * _NANO)}).encode()
        self._bus.publish(token, body)

    async def confirm(self, token: str, *, timeout: float = 5.0) -> None:
        failure: Exception | None = None
        async for limit in attempts(self._bus, timeout):
            try:
                await self._bus.ask(token, Verdict.ACK.value, timeout=limit, fragile=True)
                return
            except ConnectionError as error:
                failure = error
        raise ConnectionError(f"an ack was not confirmed within {timeout:g} s") from failure

    async def peek(self, stream: str, sequence: int) -> Inbound | None:
        return await self._stored(stream, {"seq": sequence})

    async def oldest(self, stream: str, subject: str) -> Kept | None:
        try:
            stored = await self._stored_raw(stream, {"seq": 1, "next_by_subj": subject})
        except NotFoundError:
            return None
        return None if stored is None else Kept(int(stored["seq"]), _inbound(stored))

    async def remove(self, stream: str, sequence: int) -> bool:
        return await self._delete(stream, sequence)

    async def latest(self, stream: str, subject: str) -> Inbound | None:
        return await self._stored(stream, {"last_by_subj": subject})

    async def latest_each(self, stream: str, subjects: Sequence[str], most_bytes: int = 0) -> dict[str, Message]:
        found: dict[str, Message] = {}
        while wanted := [subject for subject in subjects if subject not in found]:
            batch, left = await self._batch(stream, wanted, most_bytes or _PAGE_BYTES)
            found |= batch
            if most_bytes or not (batch and left):
                break
        return found

    async def _batch(self, stream: str, subjects: Sequence[str], most_bytes: int) -> tuple[dict[str, Message], int]:
        """The oldest messages that fit into one answer, and how many did not."""
        found: dict[str, Message] = {}

        def receive(message: Inbound) -> None:
            found[message.headers["Nats-Subject"]] = message

        verb = f"$JS.API.DIRECT.GET.{stream}"
        query = json.dumps({"multi_last": subjects, "max_bytes": most_bytes}).encode()
        failure: Exception | None = None
        async for limit in attempts(self._bus, _READ_TIMEOUT):
            try:
                end = await self._bus.ask(verb, query, timeout=limit, fragile=True, each=receive)
                return found, int(end.headers.get("Nats-Num-Pending", 0))
            except NoResponders as error:
                raise NotFoundError(f"there is no stream {stream} that can be read directly") from error
            except ConnectionError as error:
                failure = error
        raise ConnectionError(f"{stream} could not be read within {_READ_TIMEOUT:g} s") from failure

    async def subjects(self, stream: str, pattern: str) -> list[str]:
        found: list[str] = []
        while True:  # ends: with the last page
            query = {"subjects_filter": pattern, "offset": len(found)}
            try:
                info = await self.api.call(f"STREAM.INFO.{stream}", query)
            except ApiError as error:
                if error.code == STREAM_NOT_FOUND:
                    return []
                raise
            page = list(info["state"].get("subjects") or ())
            found += page
            if not page or len(found) >= int(info.get("total", 0)):
                return sorted(found)

    async def _stored(self, stream: str, query: dict[str, Any]) -> Inbound | None:
        stored = await self._stored_raw(stream, query)
        return None if stored is None else _inbound(stored)

    async def _stored_raw(self, stream: str, query: dict[str, Any]) -> dict[str, Any] | None:
        try:
            answer = await self.api.call(f"STREAM.MSG.GET.{stream}", query)
        except ApiError as error:
            if error.code == STREAM_NOT_FOUND:
                raise NotFoundError(f"there is no stream {stream}") from error
            if error.code == NO_MESSAGE or error.status == 404:
                return None
            raise
        return cast("dict[str, Any]", answer["message"])

    async def purge(self, stream: str, subject: str) -> int:
        try:
            answer = await self.api.call(f"STREAM.PURGE.{stream}", {"filter": subject})
        except ApiError as error:
            if error.code == STREAM_NOT_FOUND:
                raise NotFoundError(f"there is no stream {stream}") from error
            raise
        return int(answer.get("purged", 0))

    async def withdraw(self, stream: str, subject: str) -> None:
        # A filtered purge empties the consumer's list of what is to be handed out again, whatever its subject.
        for _ in range(FEW):
            last = await self._stored_raw(stream, {"last_by_subj": subject})
            if last is None:
                return
            await self._delete(stream, int(last["seq"]))
        await self.purge(stream, subject)

    async def _delete(self, stream: str, sequence: int) -> bool:
        try:
            await self.api.call(f"STREAM.MSG.DELETE.{stream}", {"seq": sequence, "no_erase": True})
        except ApiError as error:
            if error.code not in NOT_DELETED:  # it was settled, or deleted, just now
                raise
            return False
        return True

    async def lag(self, stream: str, consumer: str) -> Lag:
        try:
            info = await self.api.call(f"CONSUMER.INFO.{stream}.{consumer}")
        except ApiError as error:
            if error.code in (STREAM_NOT_FOUND, CONSUMER_NOT_FOUND):
                raise NotFoundError(f"there is no consumer {consumer} on {stream}") from error
            raise
        delivered = int(info["delivered"]["consumer_seq"])
        return Lag(info["num_pending"], info["num_ack_pending"], info["num_waiting"], delivered)

    async def delete_consumer(self, stream: str, consumer: str) -> None:
        try:
            await self.api.call(f"CONSUMER.DELETE.{stream}.{consumer}")
        except ApiError as error:
            if error.code not in (STREAM_NOT_FOUND, CONSUMER_NOT_FOUND):
                raise


def _inbound(stored: dict[str, Any]) -> Inbound:
    body, block = (base64.b64decode(stored.get(key) or "") for key in ("data", "hdrs"))
    return Inbound(stored["subject"], "", body, block)


def _sequence(answer: Inbound, subject: str) -> int:
    """Where a message was stored. Raises `ApiError` when it was refused."""
    try:
        return int(read_answer(answer)["seq"])
    except KeyError as error:
        raise ServiceError(f"{subject}: what answered is no stream") from error


def _place(answer: Inbound | Error, subject: str) -> int:
    """Where a message was stored; 0 when it was refused because its subject is full. Raises what else went wrong."""
    if isinstance(answer, Error):
        raise answer
    try:
        return _sequence(answer, subject)
    except ApiError as error:
        with suppress(SubjectFull):
            raise _classify(error, subject) from error
        return 0


def _classify(error: ApiError, subject: str) -> Exception:
    """Raise what another attempt would not change; return the rest."""
    full = error.code == STORE_REFUSED and "maximum" in error.description
    if full and "per subject" in error.description:
        raise SubjectFull(f"{subject}: {error.description}") from error
    if full or error.code in OUT_OF_SPACE:
        raise QueueFull(f"{subject}: {error.description}") from error
    if error.code == TOO_LARGE:
        raise RequestSizeError(f"{subject}: {error.description}") from error
    if error.status != 503:
        raise error
    return error
