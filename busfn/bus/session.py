"""A connection that is kept: subscriptions and unsent messages outlive the socket."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from busfn.bus.connection import Connection
from busfn.bus.frames import Inbound, subscribe_frame, unsubscribe_frame
from busfn.bus.wire import bare, open_wire, split
from busfn.concurrency.loops import Faults, LoopTask, isolated, turns
from busfn.config import BusAddress
from busfn.errors import AuthError, ClientClosed, ConnectionError, Error

log = logging.getLogger("busfn.bus")

MOST_BUFFERED = 8 << 20
"""Bytes of messages kept while there is no connection."""
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
_ATTEMPT = 5.0


@dataclass(slots=True)
class Interest:
    """A subscription as the server has to know it."""

    subject: str
    queue: str
    handler: Callable[[Inbound], None]
    confirmed: bool = False
    refusal: Error | None = None


class Events(Protocol):
    """Who is told about the life of the session. All are called from the loop and must return at once."""

    def on_refused(self, text: str) -> None:
        """The server sent an error line."""

    def on_down(self) -> None:
        """The connection was lost."""

    def on_up(self) -> None:
        """There is a new connection; the server knows our subscriptions."""


class Session:
    """Opens a connection, and another one whenever it is lost, until it is closed."""

    def __init__(self, address: BusAddress, name: str, events: Events) -> None:
        self.address = address
        self._name = name
        self._events = events
        self._connection: Connection | None = None
        self._interests: dict[int, Interest] = {}
        self._next_sid = 0
        self._buffered: list[bytes] = []
        self._buffered_size = 0
        self._gossiped: list[str] = []
        self._up = asyncio.Event()
        self._closed = False
        self._restoring: asyncio.Task[None] | None = None
        self._pause = FIRST_PAUSE
        self._faults = Faults(log)
        self.max_payload = 1 << 20
        self.info: dict[str, Any] = {}

    @property
    def connected(self) -> bool:
        return self._connection is not None

    @property
    def closed(self) -> bool:
        return self._closed

    # sending

    def send(self, frame: bytes) -> None:
        """Send a message with the next turn of the loop, or keep it while there is no connection."""
        if self._connection is not None:
            self._connection.write(frame)
        else:
            self._keep(frame)

    def _keep(self, frame: bytes) -> None:
        if self._closed:
            raise ClientClosed("the bus is closed")
        if self._buffered_size + len(frame) > MOST_BUFFERED:
            raise ConnectionError(f"no connection to the bus, and {MOST_BUFFERED >> 20} MiB of messages wait for it")
        self._buffered.append(frame)
        self._buffered_size += len(frame)

    def write_out(self) -> None:
        """Write what waits for the next turn of the loop."""
        if self._connection is not None:
            self._connection.write_out()

    async def writable(self) -> None:
        """Wait for room in the socket; while disconnected, for a connection."""
        while not self._closed:  # ends: with a connection, or the session
            connection = self._connection
            if connection is None:
                await self._up.wait()
                continue
            await connection.writable()
            if connection is self._connection:
                return

    async def barrier(self, timeout: float) -> None:
        """Wait until the server has processed all that was sent before; cancelling it is harmless.

        Raises `ConnectionError` after ``timeout`` seconds or when the connection is lost meanwhile.
        """
        try:
            async with asyncio.timeout(timeout):
                await (await self._current()).ping()
        except TimeoutError as error:
            raise ConnectionError(f"the server did not answer within {timeout:g} s") from error

    async def wait_up(self, timeout: float) -> None:
        """Wait for a connection; raises `ConnectionError` after ``timeout`` seconds, `ClientClosed` after close."""
        try:
            async with asyncio.timeout(timeout):
                await self._current()
        except TimeoutError as error:
            raise ConnectionError(f"no connection to the bus for {timeout:g} s") from error

    async def _current(self) -> Connection:
        while True:  # ends: with a connection, the session, or the caller's timeout
            if self._closed:
                raise ClientClosed("the bus is closed")
            if self._connection is not None:
                return self._connection
            await self._up.wait()

    # subscriptions

    def add(self, subject: str, queue: str, handler: Callable[[Inbound], None]) -> int:
        """Subscribe, now and after each reconnect; returns the number of the subscription."""
        if self._closed:
            raise ClientClosed("the bus is closed")
        self._next_sid += 1
        self._interests[self._next_sid] = Interest(subject, queue, handler)
        if self._connection is not None:
            self._connection.write(subscribe_frame(subject, queue, self._next_sid))
        return self._next_sid

    def drop(self, sid: int) -> None:
        """Tell the server that we do not listen any more. What it sent before still reaches the handler."""
        if self._connection is not None and sid in self._interests:
            self._connection.write(unsubscribe_frame(sid))

    def forget(self, sid: int) -> None:
        """End the subscription on our side."""
        self._interests.pop(sid, None)

    def interests(self) -> dict[int, Interest]:
        """All subscriptions by number."""
        return self._interests

    # events of the connection

    def on_message(self, sid: int, message: Inbound) -> None:
        interest = self._interests.get(sid)
        if interest is not None:
            interest.handler(message)

    def on_error(self, text: str) -> None:
        self._events.on_refused(text)

    def on_info(self, info: dict[str, Any]) -> None:
        self._learn(info)
        if info.get("ldm") and self._connection is not None and len(self._servers()) > 1:
            # Lame duck: this server is about to stop, and others are known.
            self._connection.abort(ConnectionError("the server is shutting down"))

    def on_lost(self, connection: Connection, reason: Exception | None) -> None:
        if connection is not self._connection:
            return
        log.warning("lost the connection to %s: %s", bare(connection.server), reason or "closed by the server")
        self._detach(connection)
        self._events.on_down()
        if not self._closed and (self._restoring is None or self._restoring.done()):
            self._restoring = LoopTask(self._restore(connection.server), "reconnect", faults=self._faults)

    def _detach(self, connection: Connection) -> None:
        self._connection = None
        self._up.clear()
        self._buffered = connection.unsent()
        self._buffered_size = sum(map(len, self._buffered))

    # connecting

    async def start(self, timeout: float, *, wait: bool) -> None:
        """Make the first connection: one attempt per server, or with ``wait`` as many as ``timeout`` seconds allow."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        pause = FIRST_PAUSE
        while True:  # ends: with a connection, or in time
            failure = await self._try_all(self._servers(), deadline)
            if failure is None:
                return
            if not wait or not isinstance(failure, ConnectionError) or loop.time() + pause >= deadline:
                raise failure
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _try_all(self, servers: list[str], deadline: float) -> Error | None:
        failure: Error | None = None
        for url in servers:
            left = deadline - asyncio.get_running_loop().time()
            try:
                await self._open(url, max(left, 0.05))
                return None
            except AuthError as error:
                return error
            except Error as error:
                failure = error
        return failure

    async def _open(self, url: str, timeout: float) -> None:
        opened = await open_wire(url, self.address, self._name, timeout)
        if self._closed:
            opened.transport.abort()
            raise ClientClosed("the bus is closed")
        self._attach(Connection(opened, self))

    def _attach(self, connection: Connection) -> None:
        self.info = connection.info
        self.max_payload = int(connection.info.get("max_payload", self.max_payload))
        self._learn(connection.info)
        for sid, interest in self._interests.items():
            connection.write(subscribe_frame(interest.subject, interest.queue, sid))
        for frame in self._buffered:
            connection.write(frame)
        self._buffered, self._buffered_size = [], 0
        self._connection = connection
        self._up.set()

    async def _restore(self, last: str) -> None:
        """Connect again, for as long as it takes."""
        self._pause = FIRST_PAUSE
        async for _ in turns(self._rest, within=LONGEST_PAUSE, at_once=False):
            with isolated("an attempt to connect"):  # giving up would leave us deaf
                try:
                    await self._restore_once(last)
                    return
                except Error as error:
                    log.info("no connection yet: %s", error)

    async def _rest(self) -> None:
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def _restore_once(self, last: str) -> None:
        servers = sorted(self._servers(), key=lambda url: (url == last, random.random()))
        deadline = asyncio.get_running_loop().time() + _ATTEMPT * len(servers)
        failure = await self._try_all(servers, deadline)
        if failure is not None:
            raise failure
        await self.barrier(_ATTEMPT)
        if self._connection is None:
            raise ConnectionError("the new connection is lost already")
        log.warning("connected again")
        self._events.on_up()

    def _servers(self) -> list[str]:
        return [*self.address.servers, *self._gossiped]

    def _learn(self, info: dict[str, Any]) -> None:
        """Remember the other servers of a cluster."""
        scheme = "tls" if split(self.address.servers[0]).scheme == "tls" else "nats"
        known = {bare(url).partition("://")[2] for url in self.address.servers}
        urls = cast("list[str]", info.get("connect_urls") or [])
        if urls:
            self._gossiped = [f"{scheme}://{url}" for url in urls if url not in known]

    def abandon(self) -> None:
        """In a forked child: let go of the socket."""
        if self._connection is not None:
            self._connection.abandon()

    async def close(self) -> None:
        """Close for good; idempotent."""
        self._closed = True
        if self._restoring is not None:
            self._restoring.cancel()
            await asyncio.wait([self._restoring])
        connection, self._connection = self._connection, None
        self._up.set()  # whoever waits for a connection sees that there will be none
        if connection is not None:
            await connection.close()
        self._interests.clear()
