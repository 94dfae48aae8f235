"""What is measured: busfn or a peer, behind the same few verbs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

WORKERS = 2
CHUNK = 64
"""Inputs in a hand-made chunk, for systems whose users make chunks by hand."""


class Unsupported(Exception):
    """The subject has nothing of this kind."""


class Subject:
    """A running system with two workers. A verb that is left out is `Unsupported`, and its row stays empty."""

    def open(self) -> None:
        """Start everything and wait until it serves."""

    def close(self) -> None:
        """End everything that `open` started."""

    def call(self, x: int) -> Any:
        """Run a no-op in a worker and wait for its result."""
        raise Unsupported

    def latencies(self, calls: int) -> list[float]:
        """Seconds of each of so many calls, one after another."""
        return timed_calls(self.call, calls)

    def in_flight(self, calls: int, width: int) -> None:
        """So many calls, ``width`` of them at a time, by whatever the system's users use: tasks or futures."""
        raise Unsupported

    def in_flight_threads(self, calls: int, width: int) -> None:
        """The same from ``width`` threads."""
        raise Unsupported

    def map(self, inputs: Sequence[int]) -> Iterable[int]:
        """No-ops over inputs, results in order, one message an input."""
        raise Unsupported

    def map_chunked(self, inputs: Sequence[int]) -> Iterable[int]:
        """The same with several inputs a message."""
        raise Unsupported

    def map_sleep(self, seconds: Sequence[float]) -> Iterable[float]:
        """Bodies that sleep so long."""
        raise Unsupported

    def enqueue(self, inputs: int) -> Any:
        """Hand so many no-ops over to the queue; results are stored."""
        raise Unsupported

    def finish(self, handle: Any) -> int:
        """Wait for what `enqueue` handed over and read every result; returns how many."""
        raise Unsupported

    def items(self, count: int) -> Iterator[int]:
        """Items of a generator that runs in a worker."""
        raise Unsupported

    def stream(self, count: int) -> tuple[float, float]:
        """Seconds to the first item, and seconds in all."""
        return timed_items(self.items(count), count)

    def echo(self, payload: bytes) -> bytes:
        """The payload, by way of a worker."""
        raise Unsupported

    def echoes(self, payload: bytes, calls: int) -> list[float]:
        """Seconds of each of so many echoes."""
        return timed_calls(partial(self._echo_once, payload), calls)

    def _echo_once(self, payload: bytes, _call: int) -> None:
        if len(self.echo(payload)) != len(payload):
            raise RuntimeError("the payload came back changed")


def timed_calls(call: Any, calls: int) -> list[float]:
    """Seconds of each call."""
    took: list[float] = []
    for x in range(calls):
        began = time.perf_counter()
        call(x)
        took.append(time.perf_counter() - began)
    return took


def timed_items(items: Iterator[int], count: int) -> tuple[float, float]:
    """Seconds to the first item, and in all. Raises `RuntimeError` when items are missing."""
    began = time.perf_counter()
    next(items)
    first = time.perf_counter() - began
    rest = sum(1 for _ in items)
    if rest != count - 1:
        raise RuntimeError(f"{rest + 1} items of {count} came")
    return first, time.perf_counter() - began


def chunks(inputs: Sequence[int], size: int = CHUNK) -> list[list[int]]:
    """The inputs in lists of ``size``."""
    return [list(inputs[at : at + size]) for at in range(0, len(inputs), size)]
