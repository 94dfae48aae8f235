"""Dramatiq on Redis: two processes of one thread; a deep prefetch for no-ops; only the middleware that results need."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence

from bench.peers.dramatiq_app import noop, sleeps
from bench.peers.windows import windowed
from bench.serving import serve
from bench.subject import WORKERS, Subject

PATIENCE = 60_000
"""Milliseconds a result may take."""


class Dramatiq(Subject):
    """Results in the same Redis."""

    def open(self) -> None:
        self._workers = [start("default", prefetch=128), start("bodies", prefetch=1)]

    def close(self) -> None:
        for worker in self._workers:
            worker.terminate()
            worker.wait()

    def call(self, x: int) -> int:
        return wait(noop.send(x))

    def in_flight(self, calls: int, width: int) -> None:
        windowed(noop.send, wait, calls, width)

    def map(self, inputs: Sequence[int]) -> Iterable[int]:
        return [wait(message) for message in [noop.send(x) for x in inputs]]

    def map_sleep(self, seconds: Sequence[float]) -> Iterable[float]:
        return [wait(message) for message in [sleeps.send(s) for s in seconds]]

    def enqueue(self, inputs: int) -> list:
        return [noop.send(x) for x in range(inputs)]

    def finish(self, handle: list) -> int:
        return sum(1 for message in handle if wait(message) is not None)


def start(queue: str, prefetch: int) -> subprocess.Popen[bytes]:
    """Two processes for a queue: what is prefetched is not shared, which long bodies would suffer from."""
    command = [sys.executable, "-m", "dramatiq", "bench.peers.dramatiq_app", "-p", str(WORKERS), "-t", "1"]
    environ = {**os.environ, "dramatiq_queue_prefetch": str(prefetch)}
    return subprocess.Popen([*command, "--queues", queue], env=environ)


def wait(message):
    return message.get_result(block=True, timeout=PATIENCE)


if __name__ == "__main__":
    serve(Dramatiq())
