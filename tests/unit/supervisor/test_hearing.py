"""When a worker counts as deaf."""

from __future__ import annotations

from busfn_services.supervisor.hearing import LONGEST_STEP, PATIENCE, Hearing


def looks(hearing: Hearing, begin: float, seconds: float, pinged: float, *, bus_answers: bool = True) -> bool:
    """Looks ten times a second; tells what the last one said."""
    deaf = False
    for tenth in range(int(seconds * 10) + 1):
        deaf = hearing.deaf(pinged, begin + tenth / 10, bus_answers=bus_answers)
    return deaf


def test_one_that_hears_is_never_deaf() -> None:
    hearing = Hearing()
    assert not any(hearing.deaf(float(second), float(second), bus_answers=True) for second in range(1, 1000))


def test_one_that_has_never_heard_is_still_starting() -> None:
    assert not looks(Hearing(), 100.0, 10 * PATIENCE, pinged=0.0)


def test_silence_is_deafness_after_a_while() -> None:
    hearing = Hearing()
    assert not looks(hearing, 100.0, PATIENCE - 1, pinged=99.0)
    assert looks(hearing, 100.0 + PATIENCE, 1.0, pinged=99.0)
    assert not hearing.deaf(120.0, 120.0, bus_answers=True)  # it hears again


def test_while_the_bus_answers_nobody_it_is_not_to_blame() -> None:
    hearing = Hearing()
    assert not looks(hearing, 100.0, 10 * PATIENCE, pinged=99.0, bus_answers=False)
    assert not looks(hearing, 100.0 + 10 * PATIENCE, PATIENCE - 1, pinged=99.0)


def test_a_time_in_which_we_were_stopped_ourselves_does_not_count() -> None:
    hearing = Hearing()
    hearing.deaf(99.0, 100.0, bus_answers=True)
    assert not hearing.deaf(99.0, 100.0 + 100 * PATIENCE, bus_answers=True)
    assert not looks(hearing, 100.0 + 100 * PATIENCE, PATIENCE - 2 * LONGEST_STEP, pinged=99.0)
