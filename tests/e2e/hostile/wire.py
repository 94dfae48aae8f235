"""A NATS client that checks nothing of what it sends: headers and subjects go out as they are."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Self

MAX_UNREAD = 512
"""Frames that may be on their way before the server has confirmed the earlier ones."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A message as a stranger may publish it."""

    subject: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reply: str = ""


class RawClient:
    """Speaks the NATS protocol to one server; use it with ``async with``."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._sent = 0
        self._pong = asyncio.Event()
        self.refused: list[str] = []
        """What the server has refused (``-ERR``)."""

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        options = {
            "verbose": False,
            "pedantic": False,
            "headers": True,
            "no_responders": True,
            "auth_token": self._token,
        }
        self._writer.write(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
        self._listener = asyncio.create_task(self._listen())
        await self._pong.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.cancel()
        await asyncio.gather(self._listener, return_exceptions=True)
        self._writer.close()

    async def send(self, frame: Frame) -> None:
        """Publish it; waits now and then, so that the server keeps up."""
        subject, reply = _token(frame.subject), _token(frame.reply)
        head = b"NATS/1.0\r\n" + b"".join(_line(name, value) for name, value in frame.headers.items()) + b"\r\n"
        where = f"HPUB {subject} {reply} " if reply else f"HPUB {subject} "
        sizes = f"{len(head)} {len(head) + len(frame.body)}\r\n"
        self._writer.write(where.encode() + sizes.encode() + head + frame.body + b"\r\n")
        self._sent += 1
        if self._sent % MAX_UNREAD == 0:
            await self.settle()

    async def settle(self) -> None:
        """Wait until the server has read what was sent."""
        self._pong.clear()
        self._writer.write(b"PING\r\n")
        await self._writer.drain()
        await asyncio.wait_for(self._pong.wait(), 30)

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            if line.startswith(b"PONG"):
                self._pong.set()
            elif line.startswith(b"PING"):
                self._writer.write(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                self.refused.append(line.decode("utf-8", "replace").strip())
        self._pong.set()


def _token(subject: str) -> str:
    """A subject that does not end the protocol line early; the server takes any other byte."""
    return "".join(character for character in subject if not character.isspace() and character != "\0")[:300]


def _line(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode("utf-8", "surrogatepass")
