"""Rows that every subject can have."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from statistics import mean, median
from typing import Any

from bench.statistics import best_makespan, percentile
from bench.subject import WORKERS, Subject, Unsupported

_SLEEPER = """
import time
began = time.perf_counter()
for _ in range(250):
    time.sleep(0.001)
print((time.perf_counter() - began) / 250 - 0.001)
"""

Params = Mapping[str, float]
Metrics = dict[str, float]


def warm(subject: Subject, params: Params) -> Metrics:
    """One call at a time."""
    calls = int(params["calls"])
    subject.latencies(calls // 10)
    took = subject.latencies(calls)
    return {"p50": 1e3 * percentile(took, 50), "p99": 1e3 * percentile(took, 99)}


def in_flight(subject: Subject, params: Params) -> Metrics:
    """Many calls at a time, from tasks and from threads."""
    calls, width = int(params["calls"]), int(params["width"])

    def per_second(run: Callable[[int, int], None]) -> float:
        run(calls // 10, width)
        return calls / seconds_of(lambda: run(calls, width))

    return _those_that_exist(
        {
            "tasks": lambda: per_second(subject.in_flight),
            "threads": lambda: per_second(subject.in_flight_threads),
        }
    )


def map_noops(subject: Subject, params: Params) -> Metrics:
    """A map of no-ops in chunks, and with one input a message."""

    def per_second(run: Callable[[range], Iterable[int]], inputs: int) -> float:
        _exhaust(run(range(inputs // 10)), inputs // 10)
        return inputs / seconds_of(lambda: _exhaust(run(range(inputs)), inputs))

    return _those_that_exist(
        {
            "chunked": lambda: per_second(subject.map_chunked, int(params["inputs"])),
            "single": lambda: per_second(subject.map, int(params["singles"])),
        }
    )


def bodies(subject: Subject, params: Params) -> Metrics:
    """A map of bodies that take the same time: what a sleep really takes on this machine when nothing else runs."""
    return _of_ideal(subject, [params["seconds"]] * int(params["inputs"]))


def mix(subject: Subject, params: Params) -> Metrics:
    """A map of short bodies with long ones among them, in an order that is the same for all."""
    inputs, long = int(params["inputs"]), int(params["long"])
    seconds = [1.0] * long + [0.001] * (inputs - long)
    random.Random(7).shuffle(seconds)
    return _of_ideal(subject, seconds)


def spawn_map(subject: Subject, params: Params) -> Metrics:
    """Hand over, then wait and read all results."""
    inputs = int(params["inputs"])
    subject.finish(subject.enqueue(inputs // 10))
    began = time.perf_counter()
    handle = subject.enqueue(inputs)
    accepted = time.perf_counter()
    if subject.finish(handle) != inputs:
        raise RuntimeError("results are missing")
    return {"accept": inputs / (accepted - began), "complete": inputs / (time.perf_counter() - began)}


def generator(subject: Subject, params: Params) -> Metrics:
    """Items a second of a long stream, and the median time to the first item of short ones."""
    count = int(params["items"])
    first = [subject.stream(10)[0] for _ in range(12)][2:]
    _, total = subject.stream(count)
    return {"items": count / total, "first-item": 1e3 * median(first)}


def payload(subject: Subject, params: Params) -> Metrics:
    """Bytes there and back; contents differ from call to call in no way that a cache could use between runs."""
    body = random.Random(time.time_ns()).randbytes(int(params["bytes"]))
    subject.echoes(body[1:], 2)
    return {"round-trip": 1e3 * median(_fresh_echoes(subject, body, int(params["calls"])))}


def seconds_of(run: Callable[[], Any]) -> float:
    """Wall time."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _fresh_echoes(subject: Subject, body: bytes, calls: int) -> list[float]:
    """Every payload is new: a store that keeps equal contents once must not shine here."""
    return [subject.echoes(bytes([call]) + body[1:], 1)[0] for call in range(calls)]


def _of_ideal(subject: Subject, seconds: list[float]) -> Metrics:
    _exhaust(subject.map_sleep([0.001] * 20), 20)
    before = _lateness()
    took = seconds_of(lambda: _exhaust(subject.map_sleep(seconds), len(seconds)))
    late = mean((before, _lateness()))  # the machine may have become slower or faster meanwhile
    return {"of-ideal": 100 * best_makespan([one + late for one in seconds], WORKERS) / took}


def _lateness() -> float:
    """Seconds that a sleep takes longer than it should, while as many processes sleep as there are workers."""
    command = [sys.executable, "-c", _SLEEPER]
    sleepers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(WORKERS)]
    return mean(float(sleeper.communicate()[0]) for sleeper in sleepers)


def _exhaust(results: Iterable[Any], expected: int) -> None:
    got = sum(1 for _ in results)
    if got != expected:
        raise RuntimeError(f"{got} results of {expected} came")


def _those_that_exist(measures: Mapping[str, Callable[[], float]]) -> Metrics:
    metrics: Metrics = {}
    for key, measure in measures.items():
        try:
            metrics[key] = measure()
        except Unsupported:
            continue
    if not metrics:
        raise Unsupported
    return metrics
