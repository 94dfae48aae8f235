from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn_services.flight import Entry, Kind
from busfn_services.supervisor.watch import BEAT_AFTER, BEAT_EVERY, GRACE, INTERRUPT_EVERY, LEASE_EVERY, Duty, Watch

START = 1000.0
TIMEOUT = 60.0
SCAN = 0.05


def entry(kind: Kind = Kind.DIRECT, *, token: str = "", foreign: bool = False, started: float = 0.0) -> Entry:
    return Entry(
        kind=kind, foreign=foreign, call="c1", first=0, crashes=0, sequence=0, token=token, reply="_INBOX.a",
        started=started, running=started > 0, accepted=START,
    )  # fmt: skip


def queued(started: float = 0.0) -> Entry:
    return entry(Kind.JOB, token="ack", started=started)


def duties(watch: Watch, record: Entry, now: float) -> list[Duty]:
    found = watch.duties([(0, record)], now)
    assert all(one is record for _, one in found)
    return [duty for duty, _ in found]


def over_time(watch: Watch, record: Entry, seconds: float) -> list[tuple[float, Duty]]:
    """Everything that was due in so many seconds after the record was accepted, with its time."""
    moments = [START + n * SCAN for n in range(int(seconds / SCAN) + 1)]
    return [(moment - START, duty) for moment in moments for duty in duties(watch, record, moment)]


def times(found: list[tuple[float, Duty]], duty: Duty) -> list[float]:
    return [moment for moment, one in found if one is duty]


def test_nothing_is_due_for_what_was_just_taken():
    watch = Watch(TIMEOUT)
    for kind in Kind:
        assert duties(watch, entry(kind, token="ack"), START) == []


def test_a_worker_without_messages_owes_nothing():
    assert Watch(TIMEOUT).duties([], START) == []


# Leases


@pytest.mark.parametrize("kind", [Kind.OVERFLOW, Kind.JOB])
def test_a_lease_is_renewed_regularly_whether_the_input_runs_or_waits(kind):
    for started in (0.0, START):
        found = times(over_time(Watch(TIMEOUT), entry(kind, token="ack", started=started), 35), Duty.RENEW)
        assert found == pytest.approx([LEASE_EVERY, 2 * LEASE_EVERY, 3 * LEASE_EVERY], abs=SCAN)


def test_a_message_without_a_lease_has_none_renewed():
    assert times(over_time(Watch(TIMEOUT), entry(Kind.DIRECT), 35), Duty.RENEW) == []


@given(st.lists(st.floats(0.01, 5), max_size=40))
def test_a_lease_never_runs_out_however_late_the_looks_are(pauses):
    watch, record, now, renewed = Watch(1e9), queued(START), START, START
    for pause in pauses:
        now += pause
        if Duty.RENEW in duties(watch, record, now):
            renewed = now
        assert now - renewed < LEASE_EVERY


# Beats


@pytest.mark.parametrize("kind", [Kind.DIRECT, Kind.OVERFLOW])
def test_a_caller_is_told_soon_and_then_regularly_that_its_call_runs(kind):
    found = times(over_time(Watch(TIMEOUT), entry(kind), 10), Duty.BEAT)
    expected = [BEAT_AFTER + n * BEAT_EVERY for n in range(4)]
    assert found == pytest.approx(expected, abs=3 * SCAN)


def test_a_short_call_costs_no_beat():
    assert over_time(Watch(TIMEOUT), entry(), BEAT_AFTER - SCAN) == []


@pytest.mark.parametrize("record", [queued(), entry(Kind.DIRECT, foreign=True), entry(Kind.OVERFLOW, foreign=True)])
def test_whoever_looks_up_the_stream_or_does_not_understand_beats_gets_none(record):
    assert times(over_time(Watch(TIMEOUT), record, 10), Duty.BEAT) == []


def test_beats_do_not_depend_on_when_the_clock_began():
    record = replace(entry(), accepted=0.0)
    assert duties(Watch(TIMEOUT), record, BEAT_AFTER) == [Duty.BEAT]


# Timeouts


def test_a_body_over_its_time_is_interrupted_and_then_killed():
    found = over_time(Watch(TIMEOUT), queued(START), TIMEOUT + GRACE + 1)
    expected = [TIMEOUT + n * INTERRUPT_EVERY for n in range(4)]  # a worker heeds one for each input
    assert times(found, Duty.INTERRUPT) == pytest.approx(expected, abs=5 * SCAN)
    killed = times(found, Duty.KILL)
    assert killed[0] == pytest.approx(TIMEOUT + GRACE, abs=2 * SCAN)
    assert len(killed) > 1


def test_time_in_a_worker_s_queue_does_not_count():
    found = over_time(Watch(TIMEOUT), queued(started=0.0), TIMEOUT + GRACE + 1)
    assert {duty for _, duty in found} == {Duty.RENEW}


def test_the_time_of_every_input_of_a_message_counts_from_its_own_start():
    watch = Watch(TIMEOUT)
    assert Duty.INTERRUPT in duties(watch, queued(START), START + TIMEOUT)
    second = queued(START + TIMEOUT + 1)
    assert Duty.INTERRUPT not in duties(watch, second, START + TIMEOUT + 2)
    assert Duty.KILL not in duties(watch, second, START + TIMEOUT + GRACE)
    assert Duty.INTERRUPT in duties(watch, second, START + 2 * TIMEOUT + 1)


def test_a_body_that_has_ended_is_not_over_its_time_whatever_becomes_of_its_result():
    ended = replace(queued(started=START), running=False)
    found = over_time(Watch(TIMEOUT), ended, TIMEOUT + GRACE + 1)
    assert not times(found, Duty.INTERRUPT)
    assert not times(found, Duty.KILL)
    assert times(found, Duty.RENEW)


def test_a_look_that_comes_too_late_kills_at_once():
    found = duties(Watch(TIMEOUT), queued(START), START + TIMEOUT + GRACE)
    assert (Duty.KILL in found, Duty.INTERRUPT in found) == (True, False)


def test_a_lease_is_kept_while_a_body_over_its_time_is_given_its_grace():
    found = over_time(Watch(LEASE_EVERY), queued(START), LEASE_EVERY + 1)
    assert {duty for _, duty in found} == {Duty.RENEW, Duty.INTERRUPT}


# Slots


def test_a_slot_that_is_used_again_starts_over():
    watch = Watch(TIMEOUT)
    first = entry(token="ack")
    assert Duty.BEAT in duties(watch, first, START + 1)
    again = replace(first, accepted=START + 1.5)
    assert duties(watch, again, START + 1.5) == []
    assert duties(watch, again, START + 2) == [Duty.BEAT]
    assert Duty.RENEW not in duties(watch, again, START + LEASE_EVERY + 1)
    assert Duty.RENEW in duties(watch, again, START + LEASE_EVERY + 1.5)


def test_what_is_gone_is_forgotten():
    watch = Watch(TIMEOUT)
    record = entry()
    assert duties(watch, record, START + 1) == [Duty.BEAT]
    assert duties(watch, record, START + 2) == []
    assert watch.duties([], START + 2) == []
    assert duties(watch, record, START + 2) == [Duty.BEAT]


def test_messages_of_a_worker_are_looked_after_each_by_itself():
    watch = Watch(TIMEOUT)
    one, two = entry(), replace(queued(), accepted=START + 5)
    assert watch.duties([(0, one), (9, two)], START + 10) == [(Duty.BEAT, one)]
    assert watch.duties([(9, two), (0, one)], START + 15) == [(Duty.RENEW, two), (Duty.BEAT, one)]
