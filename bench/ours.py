"""busfn as a subject: `python -m bench.ours` serves rows for the driver."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import busfn
from bench.app import app, count_to, echo, noop, sleeps
from bench.rows import controller, growth, memory, starts
from bench.serving import serve
from bench.subject import Subject
from busfn.maps import MapResult


class Busfn(Subject):
    """An ephemeral run of `bench.app`: embedded server, host, two workers a function."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def open(self) -> None:
        self._stack.enter_context(app.run(show_logs=False))

    def close(self) -> None:
        self._stack.close()

    def call(self, x: int) -> int:
        return noop.remote(x)

    def in_flight(self, calls: int, width: int) -> None:
        asyncio.run(self._tasks(calls, width))

    async def _tasks(self, calls: int, width: int) -> None:
        async def one(count: int) -> None:
            for x in range(count):
                await noop.remote.aio(x)

        await asyncio.gather(*(one(calls // width) for _ in range(width)))

    def in_flight_threads(self, calls: int, width: int) -> None:
        with ThreadPoolExecutor(width) as pool:
            for _ in pool.map(noop.remote, range(calls)):
                pass

    def map(self, inputs: Sequence[int]) -> Iterable[int]:
        return one_a_message(noop.map(inputs))

    def map_chunked(self, inputs: Sequence[int]) -> Iterable[int]:
        return noop.map(inputs)

    def map_sleep(self, seconds: Sequence[float]) -> Iterable[float]:
        return sleeps.map(seconds)

    def enqueue(self, inputs: int) -> busfn.FunctionCall[int]:
        return noop.spawn_map(range(inputs))

    def finish(self, handle: busfn.FunctionCall[int]) -> int:
        return sum(1 for _ in handle.iter())

    def items(self, count: int) -> Iterator[int]:
        return count_to.remote_gen(count)

    def echo(self, payload: bytes) -> bytes:
        return echo.remote(payload)


def one_a_message(result: MapResult[int]) -> MapResult[int]:
    """The map with chunks off; users get it with ``single_use_containers``, and a new worker for each input, too."""
    result._options = replace(result._options, chunked=False)  # pyright: ignore[reportPrivateUsage]
    return result


ROWS = {
    "zero": starts.zero,
    "run-hello": starts.run_hello,
    "import": starts.import_time,
    "killed": starts.killed,
    "payload-100MiB": memory.payload_once,
    "idle": controller.idle,
    "functions": growth.functions,
    "backlog": growth.backlog,
}

if __name__ == "__main__":
    serve(Busfn(), ROWS)
