from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn_services.controller.demand import GAP, Demand, span

SECONDS = 60.0


def watched(*needs: int | None, every: float = 1.0, seconds: float = SECONDS) -> list[int | None]:
    """What is known at each look."""
    demand = Demand()
    return [demand.most(need, number * every, seconds) for number, need in enumerate(needs)]


def test_nothing_is_known_before_the_watch_is_long_enough():
    known = watched(*[3] * 61)
    assert known[:60] == [None] * 60
    assert known[60] == 3


def test_the_highest_of_the_last_seconds_counts():
    known = watched(9, *[1] * 30, 4, *[1] * 60)
    assert known[60] == 9
    assert known[61] == 4
    assert known[91] == 4
    assert watched(*[0] * 60, 7)[-1] == 7


@pytest.mark.parametrize("needs", [[5] * 90 + [None] + [1] * 60, [None] * 90 + [1] * 60])
def test_a_look_that_does_not_tell_starts_the_watch_anew(needs):
    known = watched(*needs)
    assert known[90:150] == [None] * 60
    assert watched(*needs, 1)[-1] == 1


def test_a_while_without_a_look_starts_the_watch_anew():
    assert watched(*[1] * 100, every=GAP)[-1] == 1
    assert watched(*[1] * 100, every=GAP + 0.1)[-1] is None


def test_a_wish_for_more_seconds_starts_the_watch_anew():
    demand = Demand()
    for second in range(100):
        demand.most(1, second, 60)
    assert demand.most(1, 100, 90) is None
    for second in range(101, 191):
        assert demand.most(1, second, 90) == (1 if second == 190 else None)
    assert demand.most(1, 191, 60) == 1


def test_a_short_window_is_not_enough_to_go_by():
    assert span(2.0) == 60.0
    assert span(300.0) == 300.0


@given(st.lists(st.integers(0, 20), min_size=1, max_size=200), st.integers(1, 60))
def test_it_is_the_maximum_of_the_last_looks(needs, seconds):
    known = watched(*needs, seconds=seconds)
    for at, most in enumerate(known):
        assert most == (max(needs[at - seconds : at + 1]) if at >= seconds else None)
