from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.invoke.liveness import DEAD_HOST, LOOKUP, SILENCE, SILENT_LIMIT, Action, Liveness

NOW = 1000.0
BRIEF = 0.001
QUEUED = 17


def sent() -> Liveness:
    return Liveness(NOW)


def running() -> Liveness:
    call = Liveness(NOW)
    call.beat(NOW, 0)
    return call


def queued() -> Liveness:
    call = Liveness(NOW)
    call.beat(NOW, QUEUED)
    return call


@pytest.mark.parametrize(
    ("call", "limit", "action"),
    [(sent, SILENCE, Action.RESEND), (running, DEAD_HOST, Action.RESEND), (queued, LOOKUP, Action.LOOK)],
)
def test_silence_is_acted_on_when_its_time_is_up_and_not_before(call, limit, action):
    assert call().due(NOW) is Action.NOTHING
    assert call().due(NOW + limit - BRIEF) is Action.NOTHING
    assert call().due(NOW + limit) is action
    assert call().due(NOW + 1000 * limit) is action


@given(st.lists(st.floats(BRIEF, DEAD_HOST - BRIEF), max_size=50))
def test_a_running_call_with_regular_beats_is_left_alone_for_ever(pauses):
    call, now = running(), NOW
    for pause in pauses:
        now += pause
        assert call.due(now) is Action.NOTHING
        call.beat(now, 0)


def test_after_the_worker_fell_silent_the_call_is_sent_and_must_be_heard_of_soon():
    call = running()
    call.sent(NOW + DEAD_HOST)
    assert call.due(NOW + DEAD_HOST + SILENCE - BRIEF) is Action.NOTHING
    assert call.due(NOW + DEAD_HOST + SILENCE) is Action.RESEND


def resent_in_silence(call: Liveness, now: float) -> tuple[int, float]:
    """How often a call that nobody answers is sent again before it is given up, and when that is."""
    times = 0
    while True:
        now += SILENCE
        action = call.due(now)
        if action is Action.GIVE_UP:
            return times, now
        assert action is Action.RESEND
        call.sent(now)
        times += 1


def test_a_call_nobody_answers_is_given_up_after_so_many_sends():
    assert resent_in_silence(sent(), NOW) == (SILENT_LIMIT, NOW + SILENCE * (SILENT_LIMIT + 1))


@pytest.mark.parametrize("sequence", [0, QUEUED])
def test_any_word_makes_the_count_of_silent_sends_start_again(sequence):
    call = sent()
    for _ in range(SILENT_LIMIT):
        call.sent(NOW)
    call.beat(NOW, sequence)
    call.sent(NOW)
    assert call.silent_sends == 1
    assert resent_in_silence(call, NOW)[0] == SILENT_LIMIT - 1


def test_a_queued_call_that_is_found_is_looked_up_again_later():
    call = queued()
    now = NOW
    for _ in range(100):
        now += LOOKUP
        assert call.due(now) is Action.LOOK
        assert call.looked(now, found=True) is Action.NOTHING
        assert call.due(now + LOOKUP - BRIEF) is Action.NOTHING


def test_a_queued_call_is_lost_when_it_is_gone_twice_in_a_row():
    call = queued()
    now = NOW + LOOKUP
    assert call.looked(now, found=False) is Action.NOTHING
    assert call.due(now + BRIEF) is Action.LOOK
    assert call.looked(now + BRIEF, found=False) is Action.RESEND


def test_a_queued_call_that_is_found_after_it_was_gone_is_not_lost():
    call = queued()
    call.looked(NOW, found=False)
    assert call.looked(NOW, found=True) is Action.NOTHING
    assert call.due(NOW + BRIEF) is Action.NOTHING
    assert call.looked(NOW, found=False) is Action.NOTHING


def test_a_beat_between_two_looks_shows_that_the_call_is_not_lost():
    call = queued()
    call.looked(NOW, found=False)
    call.beat(NOW, 0)
    assert call.looked(NOW, found=False) is Action.NOTHING
    assert call.due(NOW + DEAD_HOST - BRIEF) is Action.NOTHING


def test_a_call_that_left_the_queue_is_watched_as_running():
    call = queued()
    call.beat(NOW, 0)
    assert call.due(NOW + DEAD_HOST - BRIEF) is Action.NOTHING
    assert call.due(NOW + DEAD_HOST) is Action.RESEND


def test_a_running_call_that_was_put_back_is_watched_as_queued():
    call = running()
    call.beat(NOW, QUEUED)
    assert call.due(NOW + LOOKUP) is Action.LOOK


def test_a_lost_call_that_was_sent_again_starts_over():
    call = queued()
    call.looked(NOW, found=False)
    assert call.looked(NOW, found=False) is Action.RESEND
    call.sent(NOW)
    assert (call.sequence, call.running, call.missing) == (0, False, False)
    assert call.due(NOW + SILENCE - BRIEF) is Action.NOTHING
    assert call.due(NOW + SILENCE) is Action.RESEND


events = st.one_of(
    st.just(("sent",)), st.tuples(st.just("beat"), st.integers(0, 3)), st.tuples(st.just("looked"), st.booleans())
)


@given(st.lists(st.tuples(st.floats(0, 20), events), max_size=40))
def test_whatever_was_heard_a_call_in_silence_is_acted_on_in_the_end(history):
    call, now = sent(), NOW
    for pause, (kind, *argument) in history:
        now += pause
        if kind == "sent":
            call.sent(now)
        elif kind == "beat":
            call.beat(now, argument[0])
        else:
            call.looked(now, found=argument[0])
        expected = {Action.LOOK} if call.sequence else {Action.RESEND, Action.GIVE_UP}
        assert call.due(now + max(SILENCE, DEAD_HOST, LOOKUP) + BRIEF) in expected
        assert call.due(now) in {Action.NOTHING, Action.LOOK} | expected


def test_the_only_copy_of_a_call_that_comes_back_unread_is_sent_again():
    assert sent().unread() is Action.RESEND


def test_while_another_copy_is_out_one_that_comes_back_unread_is_left():
    call = sent()
    call.sent(NOW + SILENCE)
    assert call.unread() is Action.NOTHING
    assert call.unread() is Action.RESEND


@pytest.mark.parametrize("call", [running, queued])
def test_a_copy_that_comes_back_unread_is_left_while_it_is_known_where_another_is(call):
    assert call().unread() is Action.NOTHING


def test_a_call_that_comes_back_unread_from_its_place_in_the_queue_is_sent_again():
    call = queued()
    assert call.unread(call.sequence) is Action.RESEND


def test_of_two_queued_copies_the_one_that_comes_back_unread_is_left():
    call = queued()
    assert call.unread(call.sequence + 1) is Action.NOTHING
    call = queued()
    call.sent(NOW + SILENCE)
    call.beat(NOW + SILENCE, call.sequence + 1)
    assert call.unread(call.sequence) is Action.NOTHING
    assert call.unread() is Action.RESEND


def test_a_copy_that_comes_back_unread_shows_that_somebody_is_there():
    call = sent()
    for number in range(2 * SILENT_LIMIT):
        assert call.due(NOW + (number + 1) * SILENCE) is Action.RESEND
        call.sent(NOW + (number + 1) * SILENCE)
        call.unread()
