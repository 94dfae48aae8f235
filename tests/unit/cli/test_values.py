"""Texts of the command line as values."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
import pathlib
import typing
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn_cli.values import Parser, parser_of


class Color(enum.Enum):
    RED = "red"
    DARK_BLUE = "dark-blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Ambiguous(enum.Enum):
    NUMBER = 1
    TEXT = "1"


def parser(hint: typing.Any) -> Parser:
    found = parser_of(hint)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (str, "", ""),
        (str, " a b ", " a b "),
        (int, "-5", -5),
        (float, "1e3", 1000.0),
        (float, "-inf", -math.inf),
        (bool, "true", True),
        (bool, "false", False),
        (pathlib.Path, "a/b.txt", pathlib.Path("a/b.txt")),
        (dt.datetime, "2026-01-31", dt.datetime(2026, 1, 31)),
        (dt.datetime, "2026-01-31T12:30:05", dt.datetime(2026, 1, 31, 12, 30, 5)),
        (dt.datetime, "2026-01-31 12:30:05", dt.datetime(2026, 1, 31, 12, 30, 5)),
        (dt.datetime, "2026-01-31T12:30:05.25+00:00", dt.datetime(2026, 1, 31, 12, 30, 5, 250_000, dt.UTC)),
        (dt.date, "2026-01-31", dt.date(2026, 1, 31)),
        (dt.time, "12:30", dt.time(12, 30)),
        (decimal.Decimal, "0.10", decimal.Decimal("0.10")),
        (uuid.UUID, "12345678123456781234567812345678", uuid.UUID("12345678-1234-5678-1234-567812345678")),
        (typing.Literal["a", "b"], "b", "b"),
        (typing.Literal[1, 2], "2", 2),
        (typing.Literal["auto", 8], "8", 8),
        (Color, "dark-blue", Color.DARK_BLUE),
        (Level, "2", Level.HIGH),
    ],
)
def test_a_text_becomes_a_value_of_exactly_that_type(hint, text, value):
    parsed = parser(hint).parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


def test_nan_is_a_float():
    assert math.isnan(parser(float).parse("nan"))


@given(st.integers() | st.floats(allow_nan=False) | st.decimals(allow_nan=False) | st.uuids() | st.text())
def test_what_python_writes_is_read_back(value):
    assert parser(type(value)).parse(str(value)) == value


@given(st.datetimes() | st.dates() | st.times())
def test_times_are_read_as_iso_8601(value):
    assert parser(type(value)).parse(value.isoformat()) == value


@pytest.mark.parametrize(
    ("hint", "text", "expected"),
    [
        (int, "1.5", "a valid integer"),
        (int, "", "a valid integer"),
        (float, "1,5", "a valid number"),
        (bool, "True", "one of true, false"),
        (dt.datetime, "tomorrow", "a date and time, as in 2026-01-31T12:00:00"),
        (dt.date, "2026-02-30", "a date, as in 2026-01-31"),
        (dt.date, "2026-01-31T12:00:00", "a date, as in 2026-01-31"),
        (dt.time, "25:00", "a time, as in 12:30"),
        (decimal.Decimal, "x", "a decimal number"),
        (uuid.UUID, "1234", "a UUID"),
        (typing.Literal[1, 2], "3", "one of 1, 2"),
        (Color, "RED", "one of red, dark-blue"),
    ],
)
def test_a_wrong_text_is_refused_and_the_parser_says_what_it_expects(hint, text, expected):
    with pytest.raises((ValueError, ArithmeticError)):
        parser(hint).parse(text)
    assert parser(hint).expected == expected


@pytest.mark.parametrize(
    ("hint", "shown"),
    [(int, "INTEGER"), (pathlib.Path, "PATH"), (typing.Literal["a", 1], "[a|1]"), (Color, "[red|dark-blue]")],
)
def test_help_texts_show_the_type_or_the_choices(hint, shown):
    assert parser(hint).shown == shown


@pytest.mark.parametrize(
    "hint",
    [typing.Any, object, bytes, dict, type(None), complex, int | str, list[int], typing.Callable, Parser, typing.List],  # noqa: UP006
)
def test_other_types_have_no_form_on_a_command_line(hint):
    assert parser_of(hint) is None


@pytest.mark.parametrize("hint", [typing.Literal[1, "1"], typing.Literal[True, "True"], Ambiguous])
def test_choices_that_one_text_could_both_mean_have_no_form_on_a_command_line(hint):
    assert parser_of(hint) is None
