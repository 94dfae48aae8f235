from __future__ import annotations

import time

import pytest

import busfn
from busfn.tracebacks import MAX_TEXT, files_of, user_traceback


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def fails(*_: object) -> str:
    raise SystemExit("on purpose")


def test_a_traceback_is_what_python_prints():
    text = user_traceback(raised(ValueError("x")), files_of(busfn))
    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith("ValueError: x")


def test_frames_to_skip_are_left_out():
    assert user_traceback(raised(ValueError("x")), lambda file: True) == "ValueError: x"


@pytest.mark.parametrize("name", ["__str__", "__notes__", "__cause__", "__class__"])
def test_an_error_that_raises_when_it_is_asked_is_told_all_the_same(name):
    hook = fails if name == "__str__" else property(fails)
    error = raised(type("Odd", (Exception,), {name: hook})("x"))
    assert "Odd" in user_traceback(error, files_of(busfn))


def test_a_long_text_is_cut_in_the_middle():
    text = user_traceback(raised(ValueError("\ud800" + "x" * 10 * MAX_TEXT + "the end")), files_of(busfn))
    assert len(text) < MAX_TEXT + 100
    assert text.endswith("the end")
    assert "characters cut" in text
    text.encode()


def test_of_a_very_long_chain_of_causes_the_last_ones_are_told():
    error: BaseException = ValueError(0)
    for i in range(20_000):
        following = ValueError(i)
        following.__cause__ = error
        error = following
    begun = time.monotonic()
    text = user_traceback(raised(error), files_of(busfn))
    assert time.monotonic() - begun < 5
    assert text.endswith("ValueError: 19999")
    assert error.__cause__.__cause__.__cause__ is not None
