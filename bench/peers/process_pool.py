"""ProcessPoolExecutor: no broker, no network, one machine."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor

from bench.serving import serve
from bench.subject import CHUNK, WORKERS, Subject


def noop(x: int) -> int:
    return x


def sleeps(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def echo(payload: bytes) -> bytes:
    return payload


class ProcessPool(Subject):
    """The standard library's pool with two processes."""

    def open(self) -> None:
        self._pool = ProcessPoolExecutor(WORKERS)

    def close(self) -> None:
        self._pool.shutdown()

    def call(self, x: int) -> int:
        return self._pool.submit(noop, x).result()

    def in_flight(self, calls: int, width: int) -> None:
        flying: deque[Future[int]] = deque()
        for x in range(calls):
            if len(flying) >= width:
                flying.popleft().result()
            flying.append(self._pool.submit(noop, x))
        for future in flying:
            future.result()

    def map(self, inputs: Sequence[int]) -> Iterable[int]:
        return self._pool.map(noop, inputs)

    def map_chunked(self, inputs: Sequence[int]) -> Iterable[int]:
        return self._pool.map(noop, inputs, chunksize=CHUNK)

    def map_sleep(self, seconds: Sequence[float]) -> Iterable[float]:
        return self._pool.map(sleeps, seconds)

    def echo(self, payload: bytes) -> bytes:
        return self._pool.submit(echo, payload).result()


if __name__ == "__main__":
    serve(ProcessPool())
