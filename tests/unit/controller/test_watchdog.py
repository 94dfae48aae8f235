from __future__ import annotations

from busfn.bus.base import Lag
from busfn_services.controller.watchdog import PATIENCE, QUIET, Audit, Watchdog


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


REST = Lag(0, 0, 2, 7)


def audited(*turns: tuple[Lag, set[str]], audit: Audit | None = None) -> list[bool | None]:
    """Of looks at a consumer and at its stream, a second apart: what the latter told, None where it was not asked."""
    audit, told = audit or Audit(), []
    for number, (lag_, stored) in enumerate(turns):
        now = 100.0 + number
        told.append(audit.forgotten(stored, now) if audit.due(lag_, now) else None)
    return told


def test_a_consumer_that_was_never_used_is_not_looked_into():
    audit = Audit()
    assert audited(*[(Lag(0, 0, 2, 0), {"a"})] * 20, audit=audit) == [None] * 20
    assert not audit.open


def test_one_that_has_come_to_rest_is_looked_into_once():
    audit = Audit()
    told = audited(*[(lag(), {"a"})] * 5, *[(REST, set[str]())] * 20, audit=audit)
    assert told == [None] * 7 + [False] + [None] * 17
    assert not audit.open
    assert QUIET == 2.0


def test_what_is_there_at_two_looks_is_forgotten():
    assert audited(*[(REST, {"a", "b"})] * 7) == [None, None, False, None, True, None, None]


def test_what_comes_between_is_not():
    assert True not in audited(*[(REST, {str(number)}) for number in range(20)])


def test_anything_that_happens_between_two_looks_starts_anew():
    delivered = [(Lag(0, 0, 2, 7 + number // 3), {"a"}) for number in range(20)]
    assert True not in audited(*delivered)
    worked = [(REST, {"a"}), (REST, {"a"}), (REST, {"a"}), (lag(), {"a"})] * 5
    assert True not in audited(*worked)


def test_it_is_open_from_rest_to_the_last_look():
    audit = Audit()
    states = []
    for number, lag_ in enumerate([REST, REST, lag(), REST, REST, REST]):
        if audit.due(lag_, 100.0 + number):
            audit.forgotten((), 100.0 + number)
        states.append(audit.open)
    assert states == [True, True, False, True, True, False]


def test_a_mended_consumer_is_looked_into_again():
    mended = [(Lag(1, 0, 2, 0), {"a"}), (Lag(0, 1, 2, 1), {"a"})]
    told = audited(*[(REST, {"a"})] * 5, *mended, *[(Lag(0, 0, 2, 1), set[str]())] * 4)
    assert told == [None, None, False, None, True, None, None, None, None, False, None]
