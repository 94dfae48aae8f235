from __future__ import annotations

import datetime as dt

import pytest

from busfn_cli.moments import parse_moment

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
