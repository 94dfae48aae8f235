from __future__ import annotations

from busfn.bus.base import Lag
from busfn_services.controller.watchdog import PATIENCE, Watchdog


def looks(*lags: Lag, every: float = 1.0) -> list[bool]:
    watchdog = Watchdog()
    return [watchdog.stuck(lag, 100 + number * every) for number, lag in enumerate(lags)]


def lag(pending: int = 5, waiting: int = 2, delivered: int = 7) -> Lag:
    return Lag(pending, 0, waiting, delivered)


LONG = int(PATIENCE) + 2


def test_a_consumer_with_work_and_takers_that_delivers_nothing_is_stuck_once():
    assert looks(*[lag()] * LONG).count(True) == 1
    assert looks(*[lag()] * (2 * LONG)).count(True) == 2


def test_one_that_delivers_is_not():
    assert not any(looks(*[lag(delivered=n) for n in range(3 * LONG)]))


def test_one_without_work_or_without_takers_is_not():
    assert not any(looks(*[lag(pending=0)] * 3 * LONG))
    assert not any(looks(*[lag(waiting=0)] * 3 * LONG))


def test_a_moment_without_takers_starts_the_time_anew():
    assert not any(looks(*([lag()] * (LONG - 4) + [lag(waiting=0)] + [lag()] * (LONG - 4))))


def test_time_that_nobody_looked_does_not_count():
    assert looks(lag(), lag(), every=10 * PATIENCE) == [False, False]
