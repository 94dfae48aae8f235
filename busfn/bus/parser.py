"""Cuts the byte stream of a NATS server into messages and control lines."""

from __future__ import annotations

from typing import Protocol

from busfn.bus.frames import Inbound
from busfn.errors import ProtocolError

_LONGEST_LINE = 1 << 20  # INFO of a large cluster lists every server


class Sink(Protocol):
    """Who gets what was read, in order and at once."""

    def on_message(self, sid: int, message: Inbound) -> None: ...
    def on_control(self, line: bytes) -> None:
        """Anything but a message: PING, PONG, INFO, +OK, -ERR."""


class Parser:
    """A push parser: `feed` calls the sink for whatever is complete and keeps the rest."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._parts: list[bytes] = []
        self._size = 0
        self._need = 0

    def feed(self, data: bytes) -> None:
        """Take bytes from the socket; raises `ProtocolError` on a stream that is not NATS."""
        self._size += len(data)
        if self._parts:
            self._parts.append(data)
            if self._size < self._need:
                return  # in the middle of a long message: join once, when it is complete
            data = b"".join(self._parts)
        used = self._consume(data)
        self._size = len(data) - used
        self._parts = [data[used:]] if self._size else []

    def _consume(self, data: bytes) -> int:
        """Dispatch what is complete and return its length."""
        position = 0
        while (end := data.find(b"\r\n", position)) >= 0:
            line = data[position:end]
            if line.startswith((b"MSG ", b"HMSG ")):
                after = self._message(line, data, end + 2)
                if not after:
                    self._need -= position
                    return position
                position = after
            else:
                self._sink.on_control(line)
                position = end + 2
        self._need = 0
        if len(data) - position > _LONGEST_LINE:
            raise ProtocolError("the server sent an endless line")
        return position

    def _message(self, line: bytes, data: bytes, start: int) -> int:
        """Dispatch one message; returns where it ends, or 0 when it is not complete."""
        try:
            # MSG <subject> <sid> [reply] <size>, or HMSG with the size of the headers before the whole size
            words = line.split()
            stop, body, fewest = start + int(words[-1]), start, 4
            if words[0] == b"HMSG":
                body, fewest = start + int(words[-2]), 5
            if body > stop or len(words) - fewest not in (0, 1):
                raise ValueError("too few or too many words, or headers that are longer than the message")
            subject, sid, reply = words[1].decode(), int(words[2]), words[3].decode() if len(words) > fewest else ""
        except (ValueError, IndexError) as error:
            raise ProtocolError(f"the server sent a malformed line: {line[:200]!r}") from error
        if len(data) < stop + 2:
            self._need = stop + 2
            return 0
        self._sink.on_message(sid, Inbound(subject, reply, data[body:stop], data[start:body]))
        return stop + 2
