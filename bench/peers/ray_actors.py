"""Ray: two actors, which skip the scheduling that every task needs; chunks by hand, as its own advice has it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray

from bench.serving import serve
from bench.subject import WORKERS, Subject, chunks


@ray.remote
class Worker:
    def noop(self, x):
        return x

    def chunk(self, xs):
        return [self.noop(x) for x in xs]

    def echo(self, payload):
        return payload

    @ray.method(num_returns="streaming")
    def items(self, count):
        for x in range(count):  # noqa: UP028 (Ray sends into the generator, which a range cannot take)
            yield x


@ray.remote(num_cpus=1)
def sleeps(seconds):
    """A task: they go to whoever is free, as calls of actors do not."""
    time.sleep(seconds)
    return seconds


class Ray(Subject):
    """A local cluster of two CPUs without a dashboard."""

    def open(self) -> None:
        ray.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            object_store_memory=512 << 20,
        )
        self._workers = [Worker.remote() for _ in range(WORKERS)]

    def close(self) -> None:
        ray.shutdown()

    def call(self, x: int) -> int:
        return ray.get(self._workers[0].noop.remote(x))

    def in_flight(self, calls: int, width: int) -> None:
        flying = [self._start(x) for x in range(min(width, calls))]
        for x in range(len(flying), calls):
            _, flying = ray.wait(flying, num_returns=1, fetch_local=False)
            flying.append(self._start(x))
        ray.get(flying)

    def _start(self, x: int):
        return self._workers[x % WORKERS].noop.remote(x)

    def map(self, inputs: Sequence[int]) -> Iterable[int]:
        return ray.get([self._start(x) for x in inputs])

    def map_chunked(self, inputs: Sequence[int]) -> Iterable[int]:
        refs = [self._workers[i % WORKERS].chunk.remote(xs) for i, xs in enumerate(chunks(inputs))]
        return chain.from_iterable(ray.get(refs))

    def map_sleep(self, seconds: Sequence[float]) -> Iterable[float]:
        return ray.get([sleeps.remote(s) for s in seconds])

    def items(self, count: int) -> Iterator[int]:
        for ref in self._workers[0].items.remote(count):
            yield ray.get(ref)

    def echo(self, payload: bytes) -> bytes:
        return ray.get(self._workers[0].echo.remote(payload))


if __name__ == "__main__":
    serve(Ray())
