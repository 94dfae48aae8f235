"""Arrivals to replay. Pure, and the same each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

SEED = 7
MINUTE = 60.0
BURST_AT = 77.5
"""Seconds. In the middle between two polls of 5 s, and about so of slower ones: neither luck nor bad luck for them."""

MENDED_AT = 135.0
"""Seconds. In the middle between two attempts of ours to start a worker, for the same reason."""


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """A call."""

    at: float
    """Seconds since the trace began."""
    run: float
    """Seconds that its body takes."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Calls over time; the simulation ends with it, so that it shows how long workers stay when all is done."""

    name: str
    about: str
    arrivals: tuple[Arrival, ...]
    seconds: float
    """Its length."""
    broken_until: float = 0.0
    """Until then workers fail to start."""


def catalog() -> tuple[Trace, ...]:
    """All traces."""
    return steady(), burst(), square(), ramp(), short(), long(), crash_loop()


def steady() -> Trace:
    """An even load, with the chance clusters that calls of many independent callers have."""
    calls = poisson(0, 20 * MINUTE, lambda _: 5.0, run=0.2)
    return Trace("steady", "5 calls/s of 200 ms for 20 min, then none", calls, 30 * MINUTE)


def burst() -> Trace:
    """Many at once, then so few that one worker is enough."""
    calls = at_once(BURST_AT, 100, run=1.0) + poisson(BURST_AT, 20 * MINUTE, lambda _: 0.5, run=0.1)
    return Trace("burst", "100 calls of 1 s at once, then 0.5/s of 100 ms for 19 min", calls, 30 * MINUTE)


def square() -> Trace:
    """On and off, faster than the window."""
    calls = poisson(0, 20 * MINUTE, lambda at: 5.0 if at % 60 < 30 else 0.0, run=1.0)
    return Trace("square wave", "30 s of 5 calls/s of 1 s, 30 s of none, for 20 min", calls, 30 * MINUTE)


def ramp() -> Trace:
    """Slowly up, and slowly down."""
    calls = poisson(0, 20 * MINUTE, lambda at: 12 * (1 - abs(at - 10 * MINUTE) / (10 * MINUTE)), run=1.0)
    return Trace("ramp", "0 to 12 calls/s of 1 s in 10 min, and down again", calls, 30 * MINUTE)


def short() -> Trace:
    """Bodies so short that one worker does them all."""
    calls = at_once(BURST_AT, 1000, run=0.001) + poisson(BURST_AT, 3 * MINUTE, lambda _: 100.0, run=0.001)
    return Trace("1 ms bodies", "1000 at once, then 100/s for 100 s", calls, 10 * MINUTE)


def long() -> Trace:
    """Bodies that run longer than most windows of time."""
    calls = tuple(Arrival(10.0 * number, run=60.0) for number in range(120))
    return Trace("60 s bodies", "one each 10 s for 20 min", calls, 30 * MINUTE)


def crash_loop() -> Trace:
    """Workers that fail to start, until somebody has mended them."""
    calls = poisson(0, 5 * MINUTE, lambda _: 1.0, run=0.1)
    about = "1 call/s of 100 ms for 5 min; workers fail to start for 135 s"
    return Trace("crash loop", about, calls, 15 * MINUTE, broken_until=MENDED_AT)


def at_once(at: float, count: int, run: float) -> tuple[Arrival, ...]:
    """Many calls in one moment."""
    return (Arrival(at, run),) * count


def poisson(start: float, end: float, rate: Callable[[float], float], run: float) -> tuple[Arrival, ...]:
    """Calls of many independent callers, ``rate(at)`` a second on average."""
    return tuple(Arrival(at, run) for at in _moments(Random(SEED), start, end, rate))


def _moments(random: Random, start: float, end: float, rate: Callable[[float], float]) -> Iterator[float]:
    """Draws at the highest rate, and keeps the share that the rate of the moment is of it."""
    highest = max(rate(start + (end - start) * step / 1000) for step in range(1001))
    at = start + random.expovariate(highest)
    while at < end:
        if random.random() * highest < rate(at):
            yield at
        at += random.expovariate(highest)
