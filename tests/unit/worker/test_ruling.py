from __future__ import annotations

import pytest

from busfn.spec import LOST_LIMIT
from busfn_services.worker.starts import SHORTEST_LEASE, Ruling, may_be_lost, rule


@pytest.mark.parametrize("lost", range(LOST_LIMIT))
def test_a_single_input_is_run_until_the_limit(lost: int) -> None:
    assert rule(1, lost) is Ruling.RUN


def test_a_single_input_is_given_up_at_the_limit() -> None:
    assert rule(1, LOST_LIMIT) is Ruling.GIVE_UP


def test_a_chunk_is_run_again_when_it_merely_waited_where_it_was_lost() -> None:
    assert rule(10, 0) is Ruling.RUN


@pytest.mark.parametrize("lost", [1, LOST_LIMIT, 10 * LOST_LIMIT])
def test_a_chunk_that_ran_is_divided_and_never_given_up(lost: int) -> None:
    assert rule(2, lost) is Ruling.DIVIDE


def test_what_was_cancelled_meanwhile_takes_its_way() -> None:
    assert rule(0, 1) is Ruling.RUN


@pytest.mark.parametrize(
    ("deliveries", "age", "lost"),
    [
        (1, 100.0, False),
        (2, SHORTEST_LEASE / 2, False),
        (2, SHORTEST_LEASE * 2, True),
        (5, 0.0, False),
        (2, -3.0, False),
    ],
)
def test_only_what_comes_again_after_a_lease_may_have_been_lost(deliveries: int, age: float, lost: bool) -> None:
    assert may_be_lost(deliveries, age) is lost
