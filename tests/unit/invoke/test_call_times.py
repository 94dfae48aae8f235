"""When what is stored of calls happened."""

from __future__ import annotations

import time

import pytest

from busfn.ids import call_id_of, made_at, new_call_id
from busfn.invoke.moments import Times, stored_at, times_of
from busfn.protocol import headers as h


def test_ids_of_calls_tell_when_they_were_made():
    before = time.time()
    made = made_at(new_call_id(), time.time())
    assert before - 0.002 <= made <= time.time()


@pytest.mark.parametrize(
    "call", ["", "-", "a" * 32, "0" * 12 + "7" + "0" * 3 + "8" + "0" * 15, call_id_of("app.f", "key")]
)
def test_other_ids_tell_nothing(call):
    assert made_at(call, 1.8e9) == 0.0


def test_an_id_of_the_future_tells_nothing():
    assert made_at(new_call_id(), time.time() - 10 * 86400) == 0.0


def test_times_of_a_stored_result():
    assert times_of({h.TIME: "1700000000500", h.ATTEMPT: "3"}, 0.5) == Times(1_700_000_000.0, 1_700_000_000.5, 3)
    assert times_of({h.TIME: "1700000000500"}).seconds == 0.0
    assert times_of({}, 0.5) == Times(0.0, 0.0, 1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Nats-Time-Stamp": "2026-01-31T12:00:00.123456789Z"}, 1769860800.123456),
        ({h.TIME: "1000", "Nats-Time-Stamp": "2026-01-31T12:00:00Z"}, 1.0),
        ({h.TIME: "soon"}, 0.0),
        ({h.TIME: "9" * 400}, 0.0),
        ({h.TIME: "9" * 15}, 0.0),
        ({"Nats-Time-Stamp": "yesterday"}, 0.0),
    ],
)
def test_the_time_of_storing_is_the_hosts_or_the_servers(headers, seconds):
    assert stored_at(headers) == pytest.approx(seconds, abs=1e-5)
