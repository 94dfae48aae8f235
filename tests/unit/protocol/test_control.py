from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.errors import ProtocolError
from busfn.protocol.control import Control, Cover, cancel_headers, credit_headers, read_control


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_credit_is_read_as_it_was_written(items, size):
    assert read_control(credit_headers(items, size)) == Control(items=items, size=size)


def test_a_cancel_is_read_as_it_was_written():
    assert read_control(cancel_headers()) == Control(cancel=True)


def test_a_consumer_that_is_gone_is_a_cancel():
    assert read_control({"Status": "503"}) == Control(cancel=True)


def test_a_cancel_wins_over_credit():
    assert read_control(credit_headers(1, 1) | cancel_headers()).cancel


def test_other_statuses_are_no_cancel():
    assert read_control({"Status": "100", **credit_headers(3, 4)}) == Control(items=3, size=4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1,2,3",
        "a,b",
        "-1,2",
        "1,-2",
        "+1,2",
        "1_0,2",
        " 1,2",
        "1, 2",
        "1.0,2",
        "\u0661,\u0662",
        "9" * 5000 + ",1",
        "1,2\n",
    ],
)
def test_bad_credit_is_refused(text):
    with pytest.raises(ProtocolError, match="must be two numbers") as caught:
        read_control({"Busfn-Credit": text})
    assert len(str(caught.value)) < 200


def test_a_message_that_says_nothing_is_refused():
    with pytest.raises(ProtocolError):
        read_control({})


@pytest.mark.parametrize("word", Cover)
def test_what_a_stand_in_says_is_read_as_it_was_written(word):
    assert Cover.decode(word.value) is word


@pytest.mark.parametrize("body", [b"", b"stand", b"stands ", b"OVER", b"\xff"])
def test_other_words_are_none_of_a_stand_in(body):
    with pytest.raises(ProtocolError):
        Cover.decode(body)
