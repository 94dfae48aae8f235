"""Bare nats-py: what the bus itself costs. Two responder processes in one queue group; ``--uvloop`` on both sides."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from bench.serving import serve
from bench.subject import WORKERS, Subject

CHUNK = 512 * 1024
ITEM = b"0123456789"


def runner(uvloop: bool) -> asyncio.Runner:
    """A loop of the kind asked for."""
    if not uvloop:
        return asyncio.Runner()
    import uvloop as module

    return asyncio.Runner(loop_factory=module.new_event_loop)


async def connect() -> Client:
    return await nats.connect(os.environ["BENCH_NATS_URL"], pending_size=64 << 20)


class BareNats(Subject):
    """Requests from one asyncio loop."""

    def __init__(self, uvloop: bool) -> None:
        self._flag = ["--uvloop"] if uvloop else []
        self._runner = runner(uvloop)
        self._responders: list[subprocess.Popen[bytes]] = []

    def open(self) -> None:
        for number in range(WORKERS):
            command = [sys.executable, "-m", "bench.peers.bare_nats", "respond", str(number), *self._flag]
            responder = subprocess.Popen(command, stdout=subprocess.PIPE)
            assert responder.stdout is not None
            self._responders.append(responder)
        for responder in self._responders:
            assert responder.stdout is not None
            responder.stdout.readline()
        self._nats = self._runner.run(connect())
        self._prefix = f"bench{'.uvloop' if self._flag else ''}"

    def close(self) -> None:
        self._runner.run(self._nats.close())
        for responder in self._responders:
            responder.kill()
            responder.wait()

    def call(self, x: int) -> bytes:
        return self._runner.run(self._request(b"1"))

    async def _request(self, body: bytes) -> bytes:
        return (await self._nats.request(f"{self._prefix}.noop", body, timeout=10)).data

    def latencies(self, calls: int) -> list[float]:
        async def measure() -> list[float]:
            took: list[float] = []
            for _ in range(calls):
                began = time.perf_counter()
                await self._request(b"1")
                took.append(time.perf_counter() - began)
            return took

        return self._runner.run(measure())

    def in_flight(self, calls: int, width: int) -> None:
        async def one() -> None:
            for _ in range(calls // width):
                await self._request(b"1")

        async def measure() -> None:
            await asyncio.gather(*(one() for _ in range(width)))

        self._runner.run(measure())

    def stream(self, count: int) -> tuple[float, float]:
        return self._runner.run(self._stream(count))

    async def _stream(self, count: int) -> tuple[float, float]:
        """With a callback, which is the fastest way that nats-py has."""
        inbox, loop = self._nats.new_inbox(), asyncio.get_running_loop()
        first: asyncio.Future[float] = loop.create_future()
        last: asyncio.Future[float] = loop.create_future()
        left = count

        async def take(_: Msg) -> None:
            nonlocal left
            left -= 1
            if not first.done():
                first.set_result(time.perf_counter())
            if not left:
                last.set_result(time.perf_counter())

        items = await self._nats.subscribe(inbox, cb=take, pending_msgs_limit=count + 1)
        began = time.perf_counter()
        await self._nats.publish(f"{self._prefix}.items", str(count).encode(), reply=inbox)
        ended = await asyncio.wait_for(last, 60)
        await items.unsubscribe()
        return first.result() - began, ended - began

    def echoes(self, payload: bytes, calls: int) -> list[float]:
        return [self._runner.run(self._echo(payload)) for _ in range(calls)]

    async def _echo(self, payload: bytes) -> float:
        inbox = self._nats.new_inbox()
        back = await self._nats.subscribe(inbox)
        began = time.perf_counter()
        for at in range(0, len(payload), CHUNK):
            await self._nats.publish(f"{self._prefix}.echo", payload[at : at + CHUNK])
        await self._nats.publish(f"{self._prefix}.echo", b"", reply=inbox)
        parts = []
        while part := (await back.next_msg(30)).data:
            parts.append(part)
        answer = b"".join(parts)
        took = time.perf_counter() - began
        await back.unsubscribe()
        assert answer == payload
        return took


class Responder:
    """Answers in a process of its own."""

    def __init__(self, connection: Client) -> None:
        self._nats = connection
        self._parts: list[bytes] = []

    async def noop(self, message: Msg) -> None:
        await message.respond(message.data)

    async def items(self, message: Msg) -> None:
        for _ in range(int(message.data)):
            await self._nats.publish(message.reply, ITEM)

    async def echo(self, message: Msg) -> None:
        """Take all chunks, then send all back: as a function does with its argument and result."""
        if message.data:
            self._parts.append(message.data)
            return
        whole, self._parts = b"".join(self._parts), []
        for at in range(0, len(whole), CHUNK):
            await self._nats.publish(message.reply, whole[at : at + CHUNK])
        await self._nats.publish(message.reply, b"")


async def respond(number: int, prefix: str) -> None:
    """Serve until killed; only the first responder takes what comes in several messages."""
    connection = await connect()
    responder = Responder(connection)
    handlers: dict[str, Any] = {"noop": responder.noop}
    if number == 0:
        handlers |= {"items": responder.items, "echo": responder.echo}
    for subject, handler in handlers.items():
        await connection.subscribe(f"{prefix}.{subject}", queue="workers", cb=handler)
    await connection.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    uvloop = "--uvloop" in sys.argv
    if sys.argv[1:2] == ["respond"]:
        with runner(uvloop) as loop:
            loop.run(respond(int(sys.argv[2]), f"bench{'.uvloop' if uvloop else ''}"))
    else:
        serve(BareNats(uvloop))


if __name__ == "__main__":
    main()
