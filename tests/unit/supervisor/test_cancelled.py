from __future__ import annotations

import time

import pytest

from busfn.errors import ProtocolError
from busfn.protocol.control import Cancellation
from busfn.protocol.subjects import Subjects
from busfn_services.flight import Entry, Kind
from busfn_services.supervisor.cancelled import MAX_CANCELLED, REMEMBERED, Cancelled
from busfn_services.supervisor.watch import GRACE

SUBJECT = Subjects().control("app", "f")


def entry(call: str = "c1", kind: Kind = Kind.JOB, reply: str = "") -> Entry:
    return Entry(kind=kind, foreign=False, call=call, first=0, crashes=0, sequence=1, token="t", reply=reply)


def cancelled(*calls: str, terminate: bool = False, now: float = 0.0) -> Cancelled:
    found = Cancelled(Subjects())
    for call in calls:
        found.note(SUBJECT, Cancellation(call, terminate).encode(), now)
    return found


def test_a_body_that_is_cancelled_has_a_while_to_react():
    assert cancelled("c1", now=5.0).ends("app", "f", entry()) == 5.0 + GRACE


def test_one_that_is_terminated_has_none():
    assert cancelled("c1", terminate=True, now=5.0).ends("app", "f", entry()) == 5.0


def test_the_sooner_of_two_ends_counts():
    both = cancelled("c1", terminate=True, now=5.0)
    both.note(SUBJECT, Cancellation("c1").encode(), 6.0)
    assert both.ends("app", "f", entry()) == 5.0


@pytest.mark.parametrize(
    ("app", "function", "held"),
    [
        ("app", "f", entry("c2")),
        ("app", "g", entry()),
        ("other", "f", entry()),
        ("app", "f", entry(kind=Kind.DIRECT)),
        ("app", "f", entry(kind=Kind.OVERFLOW, reply="_INBOX.a")),
        ("app", "f", entry(reply="_INBOX.a")),
    ],
)
def test_others_go_on_and_so_do_calls_whose_caller_waits(app, function, held):
    assert cancelled("c1", terminate=True).ends(app, function, held) is None


def test_as_many_as_anybody_sends_are_taken_at_once_and_the_last_are_remembered():
    """20 000 of them blocked a supervisor for half a minute."""
    began = time.monotonic()
    found = cancelled(*(f"c{number}" for number in range(50_000)))
    assert time.monotonic() - began < 10
    assert found.ends("app", "f", entry("c49999")) == GRACE
    assert found.ends("app", "f", entry(f"c{50_000 - MAX_CANCELLED}")) == GRACE
    assert found.ends("app", "f", entry(f"c{49_999 - MAX_CANCELLED}")) is None


def test_a_cancellation_is_forgotten_in_time():
    found = cancelled("c1")
    found.note(SUBJECT, Cancellation("c2").encode(), REMEMBERED + 1)
    assert found.ends("app", "f", entry("c1")) is None


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        (SUBJECT, b""),
        (SUBJECT, b"c1"),
        (SUBJECT, b"c1 now"),
        (SUBJECT, b"a-b stop"),
        (SUBJECT, b"c" * 33 + b" stop"),
        (SUBJECT, "²3 stop".encode()),
        (SUBJECT, b"c1 stop" + b" " * 10_000_000),
        ("busfn.main.fn.app.f", b"c1 stop"),
        ("busfn.main.ctl.app", b"c1 stop"),
        ("busfn.main.ctl.a$p.f", b"c1 stop"),
    ],
)
def test_what_is_no_cancellation_is_refused(subject, body):
    with pytest.raises(ProtocolError):
        Cancelled(Subjects()).note(subject, body, 0.0)
