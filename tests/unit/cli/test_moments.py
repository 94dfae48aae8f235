from __future__ import annotations

import datetime as dt

import pytest

from busfn_cli.moments import duration, iso, parse_moment, shown

NOW = 1_800_000_000.0


@pytest.mark.parametrize(("text", "ago"), [("90s", 90), ("15m", 900), ("2h", 7200), ("1.5d", 129600), ("1w", 604800)])
def test_how_long_ago(text, ago):
    assert parse_moment(text, NOW) == NOW - ago


def test_a_date_and_time():
    assert parse_moment("2026-01-31T12:00:00Z", NOW) == dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC).timestamp()
    assert parse_moment("2026-01-31T12:00+02:00", NOW) == dt.datetime(2026, 1, 31, 10, tzinfo=dt.UTC).timestamp()
    assert parse_moment("2026-01-31", NOW) == dt.datetime(2026, 1, 31).timestamp()


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-2h", "2y", "yesterday", "2026-13-01", "²h"])
def test_what_is_no_moment_says_what_is(text):
    with pytest.raises(ValueError, match="15m, 2h"):
        parse_moment(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "-"), (-1.0, "-"), (0.00123, "1.23 ms"), (0.1234, "123 ms"), (1.5, "1.5 s"), (90, "90.0 s"),
        (600, "10.0 min"), (10_000, "2.8 h"),
    ],
)  # fmt: skip
def test_a_duration_is_shown_so(seconds, text):
    assert duration(seconds) == text


def test_a_moment_is_shown_with_its_day_unless_it_is_the_same():
    noon = dt.datetime(2026, 1, 31, 12).timestamp()
    assert shown(noon) == "2026-01-31 12:00:00"
    assert shown(noon, noon - 60) == "12:00:00"
    assert shown(noon, noon - 86_400) == "2026-01-31 12:00:00"
    assert shown(0.0) == "-"
    assert iso(0.0) is None
    assert dt.datetime.fromisoformat(iso(noon) or "").timestamp() == noon
