"""Dask: a LocalCluster of two single-threaded worker processes, no dashboard; chunks by `batch_size` and by hand."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import chain

import dask
from distributed import Client, LocalCluster, as_completed

from bench.serving import serve
from bench.subject import WORKERS, Subject, chunks


def noop(x):
    return x


def chunk(xs):
    return [noop(x) for x in xs]


def sleeps(seconds):
    time.sleep(seconds)
    return seconds


def echo(payload):
    return payload


class Dask(Subject):
    """Functions are declared impure, so that no result is reused."""

    def open(self) -> None:
        dask.config.set({"distributed.comm.compression": None, "distributed.worker.daemon": True})
        self._cluster = LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        )
        self._client = Client(self._cluster)

    def close(self) -> None:
        self._client.close()
        self._cluster.close()

    def call(self, x: int) -> int:
        return self._client.submit(noop, x, pure=False).result()

    def in_flight(self, calls: int, width: int) -> None:
        left = iter(range(width, calls))
        flying = as_completed([self._client.submit(noop, x, pure=False) for x in range(width)])
        for _ in flying:
            x = next(left, None)
            if x is not None:
                flying.add(self._client.submit(noop, x, pure=False))

    def map(self, inputs: Sequence[int]) -> Iterable[int]:
        return self._client.gather(self._client.map(noop, inputs, pure=False))

    def map_chunked(self, inputs: Sequence[int]) -> Iterable[int]:
        return chain.from_iterable(self._client.gather(self._client.map(chunk, chunks(inputs), pure=False)))

    def map_sleep(self, seconds: Sequence[float]) -> Iterable[float]:
        return self._client.gather(self._client.map(sleeps, seconds, pure=False))

    def echo(self, payload: bytes) -> bytes:
        return self._client.submit(echo, payload, pure=False).result()


if __name__ == "__main__":
    serve(Dask())
