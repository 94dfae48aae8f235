"""One socket, from the end of the handshake until it is lost."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from typing import Any, Protocol, cast

from busfn.bus.frames import PING, PONG, Inbound, is_publish
from busfn.bus.parser import Parser
from busfn.bus.wire import Opened
from busfn.concurrency.loops import Faults, LoopTask, every
from busfn.errors import ConnectionError, Error, ProtocolError
from busfn.forks import silence

log = logging.getLogger("busfn.bus")

HIGH_WATER = 1 << 20
"""Bytes in the write buffer of the socket above which `Connection.writable` waits."""
_WRITE_AT = 1 << 16
PING_INTERVAL = 10.0
MOST_PINGS = 2
_GOODBYE = 1.0


class Owner(Protocol):
    """Who is told what happens on the socket."""

    def on_message(self, sid: int, message: Inbound) -> None: ...
    def on_error(self, text: str) -> None: ...
    def on_info(self, info: dict[str, Any]) -> None: ...
    def on_lost(self, connection: Connection, reason: Exception | None) -> None: ...


class Connection(asyncio.Protocol):
    """Reads and dispatches inline; writes once per turn of the loop; pings; fails its pings when it is lost."""

    def __init__(self, opened: Opened, owner: Owner) -> None:
        self.server = opened.server
        self.info = opened.info
        self._keeper = opened.keeper
        self._loop = asyncio.get_running_loop()
        self._transport = opened.transport
        self._owner = owner
        self._parser = Parser(self)
        self._frames: list[bytes] = []
        self._size = 0
        self._scheduled = False
        self._pongs: deque[asyncio.Future[None] | None] = deque()
        self._room = asyncio.Event()
        self._room.set()
        self._lost = False
        self._gone: asyncio.Future[None] = self._loop.create_future()
        opened.transport.set_write_buffer_limits(high=HIGH_WATER)
        opened.transport.set_protocol(self)
        self._faults = Faults(log)
        self._keepalive = LoopTask(self._watch(), "watchdog", faults=self._faults, on_fault=self.abort)
        if opened.unread:
            self._loop.call_soon(self.data_received, opened.unread)

    # reading

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        try:
            self._parser.feed(data)
        except ProtocolError as error:
            self.abort(error)

    def on_message(self, sid: int, message: Inbound) -> None:
        """Called by the parser."""
        try:
            self._owner.on_message(sid, message)
        except Exception as error:
            # One broken handler must not take the connection away from all the others.
            self._faults.note(f"a message of {message.subject}", error)

    def on_control(self, line: bytes) -> None:
        """Called by the parser."""
        verb, _, rest = line.partition(b" ")
        match verb.upper():
            case b"PING":
                self.write(PONG)
            case b"PONG":
                self._answered()
            case b"INFO":
                self.info = cast("dict[str, Any]", json.loads(rest))
                self._owner.on_info(self.info)
            case b"-ERR":
                self._owner.on_error(rest.decode("utf-8", "replace").strip().strip("'"))
            case b"+OK" | b"":
                return
            case _:
                raise ProtocolError(f"the server sent an unknown line: {line[:200]!r}")

    # writing

    def write(self, frame: bytes) -> None:
        """Send a frame with the next turn of the loop."""
        self._frames.append(frame)
        self._size += len(frame)
        if self._size >= _WRITE_AT:
            self.write_out()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush_turn)

    def _flush_turn(self) -> None:
        self._scheduled = False
        self.write_out()

    def write_out(self) -> None:
        """Write what waits."""
        if self._frames and not self._lost and not self._transport.is_closing():
            frames, self._frames, self._size = self._frames, [], 0
            self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def unsent(self) -> list[bytes]:
        """Messages that never reached the socket; commands are left out, they belong to this connection."""
        return [frame for frame in self._frames if is_publish(frame)]

    def ping(self) -> asyncio.Future[None]:
        """A future that completes when the server has processed all that was written before.

        It may be cancelled or abandoned: the answer is then ignored.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        if self._lost:
            future.set_exception(ConnectionError("the connection is lost"))
            return future
        self._pongs.append(future)
        self.write(PING)
        return future

    def _answered(self) -> None:
        future = self._pongs.popleft() if self._pongs else None
        if future is not None and not future.done():
            future.set_result(None)

    def pause_writing(self) -> None:
        """Called by the transport."""
        self._room.clear()

    def resume_writing(self) -> None:
        """Called by the transport."""
        self._room.set()

    async def writable(self) -> None:
        """Wait until the write buffer is below the high-water mark, or the connection is lost."""
        self.write_out()
        await self._room.wait()

    # ending

    async def _watch(self) -> None:
        async for _ in every(PING_INTERVAL, at_once=False):
            self._check_alive()

    def _check_alive(self) -> None:
        """A server that does not answer two pings is gone, whatever the socket says."""
        if sum(future is None for future in self._pongs) >= MOST_PINGS:
            self.abort(ConnectionError("the server stopped answering"))
            return
        self._pongs.append(None)
        self.write(PING)

    def abort(self, reason: Exception) -> None:
        """Give the connection up at once; the owner is told."""
        self._transport.abort()
        self.connection_lost(reason)

    def abandon(self) -> None:
        """In a forked child: let go of the socket, and tell neither the server nor the loop, which are the parent's."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            silence([sock.fileno()])

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        if not self._gone.done():
            self._gone.set_result(None)
        if not self._lost:
            self._end(ConnectionError("the connection was lost"))
            self._owner.on_lost(self, exc)

    def _end(self, error: Error) -> None:
        self._lost = True
        self._keepalive.cancel()
        self._room.set()
        self._fail_pings(error)

    def _fail_pings(self, error: Error) -> None:
        pongs, self._pongs = self._pongs, deque()
        for future in pongs:
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()  # nobody may be waiting any more

    async def close(self) -> None:
        """Write what waits and close the socket, without telling the owner."""
        self.write_out()
        self._end(ConnectionError("the connection was closed"))
        self._transport.close()
        await asyncio.wait([self._gone], timeout=_GOODBYE)
        self._transport.abort()
