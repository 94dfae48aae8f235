from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics import Summary, best_makespan, percentile, quotient, summarize

positive = st.floats(min_value=0.001, max_value=1000)


def test_a_summary_has_the_median_and_both_extremes() -> None:
    assert summarize([3.0, 1.0, 10.0]) == Summary(median=3.0, low=1.0, high=10.0, rounds=3)


def test_nothing_measured_is_an_error_and_not_a_zero() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        summarize([])


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(x) for x in range(1, 101)]
    assert [percentile(values, p) for p in (1, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([7.0], 50) == 7.0


@pytest.mark.parametrize("percent", [0, -1, 101])
def test_an_impossible_percentile_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile([1.0], percent)


def test_the_best_schedule_puts_long_bodies_first() -> None:
    assert best_makespan([1, 1, 1, 1, 4], workers=2) == 4
    assert best_makespan([0.5] * 10, workers=2) == 2.5


@given(st.lists(positive, min_size=1, max_size=30), st.integers(min_value=1, max_value=8))
def test_no_schedule_beats_its_bounds(durations: list[float], workers: int) -> None:
    least = max(max(durations), sum(durations) / workers)
    assert least - 1e-6 <= best_makespan(durations, workers) <= 4 / 3 * least + max(durations)


def test_a_quotient_by_zero_says_nothing() -> None:
    assert quotient(1.0, 0.0) is None
    assert quotient(3.0, 2.0) == 1.5
