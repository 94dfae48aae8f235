"""FastStream over NATS: request and reply, two processes in one queue group, uvloop, no logger."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import uvloop
from faststream import FastStream
from faststream.nats import NatsBroker

from bench.serving import serve
from bench.subject import WORKERS, Subject

SUBJECT = "bench.faststream"


def new_broker() -> NatsBroker:
    return NatsBroker(os.environ["BENCH_NATS_URL"], logger=None)


class Faststream(Subject):
    """Requests from one loop."""

    def open(self) -> None:
        command = [sys.executable, "-m", "bench.peers.faststream_nats", "respond"]
        self._workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(WORKERS)]
        for worker in self._workers:
            worker.stdout.readline()
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._broker = new_broker()
        self._runner.run(self._broker.connect())

    def close(self) -> None:
        self._runner.run(self._broker.stop())
        for worker in self._workers:
            worker.kill()
            worker.wait()

    def call(self, x: int) -> int:
        return self._runner.run(self._request(x))

    async def _request(self, x: int) -> int:
        return await (await self._broker.request(x, SUBJECT, timeout=10)).decode()

    def latencies(self, calls: int) -> list[float]:
        async def measure() -> list[float]:
            took: list[float] = []
            for x in range(calls):
                began = time.perf_counter()
                await self._request(x)
                took.append(time.perf_counter() - began)
            return took

        return self._runner.run(measure())

    def in_flight(self, calls: int, width: int) -> None:
        async def one() -> None:
            for x in range(calls // width):
                await self._request(x)

        async def measure() -> None:
            await asyncio.gather(*(one() for _ in range(width)))

        self._runner.run(measure())


def respond() -> None:
    """One worker."""
    broker = new_broker()
    app = FastStream(broker, logger=None)

    @broker.subscriber(SUBJECT, queue="workers")
    async def noop(x: int) -> int:
        return x

    @app.after_startup
    def ready() -> None:
        print("ready", flush=True)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(app.run())


if __name__ == "__main__":
    if sys.argv[1:] == ["respond"]:
        respond()
    else:
        serve(Faststream())
