"""Celery on Redis: one worker with two prefork processes, prefetching; no gossip, mingle, heartbeat or events."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import chain

from celery.result import ResultSet

from bench.peers.celery_app import app, noop, sleeps
from bench.peers.windows import windowed
from bench.serving import serve
from bench.subject import CHUNK, WORKERS, Subject

QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat"]


class Celery(Subject):
    """Results in the same Redis."""

    def open(self) -> None:
        command = [sys.executable, "-m", "celery", "-A", "bench.peers.celery_app", "worker", "-P", "prefork"]
        self._worker = subprocess.Popen([*command, "-c", str(WORKERS), "-l", "error", *QUIET])

    def close(self) -> None:
        self._worker.terminate()
        self._worker.wait()

    def call(self, x: int) -> int:
        return noop.delay(x).get()

    def in_flight(self, calls: int, width: int) -> None:
        windowed(noop.delay, lambda result: result.get(), calls, width)

    def map(self, inputs: Sequence[int]) -> Iterable[int]:
        with app.producer_pool.acquire(block=True) as producer:
            results = [noop.apply_async((x,), producer=producer) for x in inputs]
        return ResultSet(results).join_native()

    def map_chunked(self, inputs: Sequence[int]) -> Iterable[int]:
        return chain.from_iterable(noop.chunks(zip(inputs, strict=True), CHUNK)().get())

    def map_sleep(self, seconds: Sequence[float]) -> Iterable[float]:
        with app.producer_pool.acquire(block=True) as producer:
            results = [sleeps.apply_async((s,), producer=producer) for s in seconds]
        return ResultSet(results).join_native()

    def enqueue(self, inputs: int) -> ResultSet:
        with app.producer_pool.acquire(block=True) as producer:
            return ResultSet([noop.apply_async((x,), producer=producer) for x in range(inputs)])

    def finish(self, handle: ResultSet) -> int:
        return len(handle.join_native())


if __name__ == "__main__":
    serve(Celery())
