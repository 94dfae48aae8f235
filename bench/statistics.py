"""Pure numbers: medians, percentiles, schedules, quotients."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Summary:
    """What several rounds of one measurement gave."""

    median: float
    low: float
    high: float
    rounds: int


def summarize(values: Sequence[float]) -> Summary:
    """Median and extremes; raises `ValueError` for no values."""
    if not values:
        raise ValueError("nothing was measured")
    return Summary(median(values), min(values), max(values), len(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` percent of the values do not exceed."""
    if not values or not 0 < percent <= 100:
        raise ValueError("a percentile needs values, and a percent above 0 and up to 100")
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def best_makespan(durations: Iterable[float], workers: int) -> float:
    """Seconds that the work takes when the longest bodies start first: at most 4/3 of the very best schedule."""
    loads = [0.0] * workers
    for duration in sorted(durations, reverse=True):
        heapq.heapreplace(loads, loads[0] + duration)
    return max(loads)


def quotient(ours: float, theirs: float) -> float | None:
    """``ours / theirs``; None when that says nothing."""
    return ours / theirs if theirs else None
