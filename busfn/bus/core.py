"""The bus on NATS: publish, subscribe, request, and what queues, blobs and tables are built from."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from busfn.bus.base import NO_HEADERS, Headers, Outgoing
from busfn.bus.blobs import NatsBlobs
from busfn.bus.frames import NO_RESPONDERS, Inbound, check_pattern, encode_headers, publish_frame
from busfn.bus.history import NatsHistory
from busfn.bus.jetstream import NatsQueues
from busfn.bus.requests import Batch, Deadline, Part, Request, Waiting
from busfn.bus.session import Session
from busfn.bus.table import NatsTable
from busfn.config import BusAddress
from busfn.errors import (
    ClientClosed,
    ConnectionError,
    Error,
    NoResponders,
    PermissionDeniedError,
    RequestSizeError,
    ResourceExhaustedError,
)

log = logging.getLogger("busfn.bus")

HEADER_ROOM = 4096
"""Bytes of a message that are left for our headers."""
_REFUSED = re.compile(
    r'permissions violation for (publish|subscription)[^"]*"([^"]+)"(?: using queue "([^"]+)")?', re.I
)
_BARRIER = 10.0
_TOKENS, _TOKEN_DIGITS = 256, 12


async def connect(
    address: BusAddress,
    *,
    name: str,
    timeout: float = 5.0,
    wait: bool = False,
    blob_stream: str = "BUSFN_main_BLOB",
    blob_prefix: str = "busfn.main.blob",
) -> NatsBus:
    """Connect to a NATS server within ``timeout`` seconds; with ``wait`` a server that is not up yet is waited for.

    Raises `ConnectionError` when none answers, `AuthError` when it refuses us, `VersionError` when it is too old.
    """
    bus = NatsBus(address, name=name, blob_stream=blob_stream, blob_prefix=blob_prefix)
    try:
        await bus.open(timeout, wait=wait)
    except BaseException:
        await bus.close()
        raise
    return bus


class NatsSubscription:
    """Interest in a subject; see `busfn.bus.base.Subscription`."""

    def __init__(self, session: Session, sid: int) -> None:
        self._session = session
        self._sid = sid

    async def leave(self) -> None:
        """Stop receiving; on return all that was sent before was handled. Idempotent."""
        session = self._session
        try:
            if session.connected and self._sid in session.interests():
                session.drop(self._sid)
                await session.barrier(_BARRIER)
        except (ConnectionError, ClientClosed):
            log.debug("the connection went away while leaving")  # and the subscription with it
        finally:
            session.forget(self._sid)


class NatsChannel:
    """A private reply address; see `busfn.bus.base.Channel`."""

    __slots__ = ("_slots", "_token", "subject")

    def __init__(self, slots: dict[str, Callable[[Inbound], None]], prefix: str, token: str) -> None:
        self._slots = slots
        self._token = token
        self.subject = prefix + token

    def close(self) -> None:
        """Drop whatever still arrives."""
        self._slots.pop(self._token, None)


class NatsBus:
    """A connection to NATS, kept until it is closed; see `busfn.bus.base.Bus`."""

    def __init__(self, address: BusAddress, *, name: str, blob_stream: str, blob_prefix: str) -> None:
        self._session = Session(address, name, self)
        self._loop = asyncio.get_running_loop()
        self.inbox = self.new_inbox()
        self._prefix = f"{self.inbox}."
        self._slots: dict[str, Callable[[Inbound], None]] = {}
        self._counter = 0
        self._noise = ""
        self._callbacks: list[Callable[[], None]] = []
        self.queues = NatsQueues(self)
        self.history = NatsHistory(self)
        self.blobs = NatsBlobs(self, self.queues, blob_stream, blob_prefix)

    async def open(self, timeout: float, *, wait: bool = False) -> None:
        """Make the first connection; `connect` does it."""
        await self._session.start(timeout, wait=wait)
        try:
            await self.subscribe(f"{self.inbox}.*", self._answered)
        except PermissionDeniedError as error:
            prefix = self._session.address.inbox_prefix
            raise PermissionDeniedError(
                f"this user may not receive answers on {prefix}.>: set inbox_prefix to what its permissions allow"
            ) from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # facts

    @property
    def max_body(self) -> int:
        return self._session.max_payload - HEADER_ROOM

    @property
    def connected(self) -> bool:
        return self._session.connected

    @property
    def closed(self) -> bool:
        return self._session.closed

    @property
    def replicas(self) -> int:
        """Copies of each stream that are configured, 0 for as many as is right for this server."""
        return self._session.address.replicas

    @property
    def clustered(self) -> bool:
        """Whether the server is part of a cluster."""
        return bool(self._session.info.get("cluster"))

    def table(self, name: str) -> NatsTable:
        """The key-value bucket ``name``; it is created by the first write."""
        return NatsTable(self, name)

    # sending

    def publish(self, subject: str, body: bytes = b"", headers: Headers = NO_HEADERS, reply: str = "") -> None:
        block = encode_headers(headers) if headers else b""
        if len(block) + len(body) > self._session.max_payload:
            raise RequestSizeError(
                f"a message of {len(body)} bytes and {len(block)} bytes of headers to {subject}:"
                f" the server takes {self._session.max_payload} bytes"
            )
        self._session.send(publish_frame(subject, reply, block, body))

    async def flush(self, timeout: float = 10.0) -> None:
        await self._session.barrier(timeout)

    def write_out(self) -> None:
        self._session.write_out()

    async def writable(self) -> None:
        await self._session.writable()

    async def wait_connected(self, timeout: float) -> None:
        """Wait for a connection; raises `ConnectionError` after ``timeout`` seconds."""
        await self._session.wait_up(timeout)

    # receiving

    async def subscribe(self, subject: str, handler: Callable[[Inbound], None], *, queue: str = "") -> NatsSubscription:
        check_pattern(subject, queue)
        sid = self._session.add(subject, queue, handler)
        interest = self._session.interests()[sid]
        try:
            await self._confirm()
            if interest.refusal is not None:
                raise interest.refusal
        except BaseException:
            self._session.drop(sid)
            self._session.forget(sid)
            raise
        interest.confirmed = True
        return NatsSubscription(self._session, sid)

    def listen(self, subject: str, handler: Callable[[Inbound], None]) -> NatsSubscription:
        """`subscribe` without waiting for the server: what we send later, it handles later."""
        return NatsSubscription(self._session, self._session.add(subject, "", handler))

    async def _confirm(self) -> None:
        """A barrier that outlives one lost connection: subscriptions are renewed by the session."""
        try:
            await self._session.barrier(_BARRIER)
        except ConnectionError:
            await self._session.barrier(_BARRIER)

    def channel(self, handler: Callable[[Inbound], None]) -> NatsChannel:
        token = self._token()
        self._slots[token] = handler
        return NatsChannel(self._slots, self._prefix, token)

    def new_inbox(self) -> str:
        """A prefix for private subjects that nobody can guess."""
        return f"{self._session.address.inbox_prefix}.{secrets.token_hex(10)}"

    def _token(self) -> str:
        """What stands behind the prefix, which others know whom we have asked before: it cannot be guessed, either."""
        self._counter += 1
        at = self._counter % _TOKENS * _TOKEN_DIGITS
        if not at or not self._noise:  # the system is asked once for many: each time lets go of the interpreter's lock
            self._noise = secrets.token_hex(_TOKENS * _TOKEN_DIGITS // 2)
        return f"{self._counter:x}-{self._noise[at : at + _TOKEN_DIGITS]}"

    def _answered(self, message: Inbound) -> None:
        slot = self._slots.get(message.subject[len(self._prefix) :])
        if slot is not None:
            slot(message)

    async def request(
        self, subject: str, body: bytes = b"", headers: Headers = NO_HEADERS, *, timeout: float = 5.0
    ) -> Inbound:
        return await self.ask(subject, body, headers, timeout=timeout)

    async def ask(
        self,
        subject: str,
        body: bytes = b"",
        headers: Headers = NO_HEADERS,
        *,
        timeout: float,
        fragile: bool = False,
        each: Callable[[Inbound], None] | None = None,
    ) -> Inbound:
        """`request`; a ``fragile`` one fails as soon as the connection is lost, for callers who can repeat it.

        With ``each``, all messages go there until one with a status closes the answer.
        """
        if self._session.closed:
            raise ClientClosed("the bus is closed")
        token = self._token()
        waiting = self._slots[token] = Request(subject, self._loop.create_future(), fragile, each)
        deadline = Deadline(self._loop, timeout, partial(waiting.expire, timeout))
        try:
            self.publish(subject, body, headers, self._prefix + token)
            answer = await waiting.future
        finally:
            deadline.cancel()
            self._slots.pop(token, None)
        if answer.status == NO_RESPONDERS:
            raise NoResponders(f"nobody serves {subject}")
        return answer

    async def ask_each(self, messages: Sequence[Outgoing], *, timeout: float) -> list[Inbound | Error]:
        """Many fragile requests in one go; an error stands where no answer came within ``timeout`` seconds."""
        if not messages:
            return []
        batch = Batch(len(messages), self._loop.create_future())
        deadline = Deadline(self._loop, timeout, batch.close)
        tokens = [self._token() for _ in messages]
        try:
            for number, (token, message) in enumerate(zip(tokens, messages, strict=True)):
                self._slots[token] = Part(message.subject, batch, number)
                named = {**message.headers, "Nats-Msg-Id": message.msg_id} if message.msg_id else message.headers
                self.publish(message.subject, message.body, named, self._prefix + token)
            await batch.full
        finally:
            deadline.cancel()
            for token in tokens:
                self._slots.pop(token, None)
        return [
            ConnectionError(f"no answer from {message.subject} within {timeout:g} s") if answer is None else answer
            for message, answer in zip(messages, batch.answers, strict=True)
        ]

    # events of the session

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def on_refused(self, text: str) -> None:
        """An error line of the server: fail whoever caused it."""
        log.warning("the server says: %s", text)
        found = _REFUSED.search(text)
        if found is None:
            self._refuse_unconfirmed(text)
            return  # the server closes the connection after most other errors, and the session makes a new one
        error = PermissionDeniedError(f"the server refused this user: {text}")
        if found[1].lower() == "publish":
            self._refuse_requests(found[2].lower(), error)
        else:
            self._refuse_subscriptions(found[2].lower(), (found[3] or "").lower(), error)

    def _refuse_requests(self, subject: str, error: Error) -> None:
        for slot in list(self._slots.values()):
            if isinstance(slot, Waiting) and slot.subject.lower() == subject:
                slot.fail(error)

    def _refuse_subscriptions(self, subject: str, queue: str, error: Error) -> None:
        for interest in self._session.interests().values():
            if interest.subject.lower() == subject and queue in ("", interest.queue.lower()):
                interest.refusal = error

    def _refuse_unconfirmed(self, text: str) -> None:
        """The server does not say which subscription was one too many."""
        if "maximum subscriptions" in text.lower():
            for interest in self._session.interests().values():
                if not interest.confirmed:
                    interest.refusal = ResourceExhaustedError(f"the server refused a subscription: {text}")

    def on_down(self) -> None:
        self.queues.void_pulls()
        for slot in list(self._slots.values()):
            if isinstance(slot, Waiting) and slot.fragile:
                slot.fail(ConnectionError("the connection was lost"))

    def on_up(self) -> None:
        for callback in (self.queues.renew_pulls, *self._callbacks):
            try:
                callback()
            except Exception:
                log.exception("a callback failed after a reconnect")

    async def require_jetstream(self) -> None:
        """Raise `ServiceError` with advice unless the server and our account have JetStream."""
        await self.queues.api.require()

    def abandon(self) -> None:
        """In a forked child: let go of the socket, which is the parent's."""
        self._session.abandon()

    async def close(self) -> None:
        """Stop pulls, let the server process what was sent, close. Pending requests get `ClientClosed`. Idempotent."""
        if self._session.closed:
            return
        await self.queues.stop_pulls()
        if self._session.connected:
            try:
                await self._session.barrier(2.0)
            except ConnectionError:
                log.warning("the bus was closed without a last word from the server")
        await self._session.close()
        for slot in list(self._slots.values()):
            if isinstance(slot, Waiting):
                slot.fail(ClientClosed("the bus was closed while this request waited"))
        self._slots.clear()
