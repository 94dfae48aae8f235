from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn_services.worker.limiter import FORESEEN, MOST_BORNE, MOST_MESSAGES, MOST_WORK, SOON, Limiter

means = st.floats(1e-7, 10)


def room(limiter: Limiter, inputs: int) -> int:
    """Messages that may be taken beside so many inputs."""
    return limiter.room(inputs * (limiter.mean or 0.0))


def busy(limiter: Limiter, inputs: int = 1) -> int:
    """Take messages while there is room; how many there are then."""
    for taken in range(10 * MOST_MESSAGES):
        if room(limiter, taken * inputs) <= 0:
            break
        limiter.take(inputs)
    return limiter.messages


@pytest.mark.parametrize("slots", [1, 3])
def test_before_the_first_measurement_only_the_slots_are_filled(slots):
    limiter = Limiter(slots=slots)
    assert limiter.room(0.0) == slots
    assert busy(limiter) == slots


@given(st.floats(MOST_WORK, 1e3), st.integers(1, 4))
def test_long_inputs_only_fill_the_slots(mean, slots):
    limiter = Limiter(slots=slots)
    limiter.observe(mean)
    assert busy(limiter) == slots


@given(means, st.integers(1, 4))
def test_short_inputs_are_held_up_to_the_most_work_and_messages(mean, slots):
    limiter = Limiter(slots=slots)
    limiter.observe(mean)
    held = busy(limiter)
    assert held >= slots
    assert held == slots or (held * mean <= MOST_WORK * 1.000001 and held <= MOST_MESSAGES)
    assert held >= MOST_MESSAGES or (held + 1.001) * mean > MOST_WORK


def test_half_a_millisecond_a_message_gives_room_for_four():
    limiter = Limiter()
    limiter.observe(0.0005)
    rooms = []
    for taken in range(5):
        rooms.append(room(limiter, taken))
        limiter.take(1)
    assert rooms == [4, 3, 2, 1, 0]


def test_further_messages_are_expected_to_hold_as_much_as_the_last_one():
    limiter = Limiter()
    limiter.observe(MOST_WORK / 64)
    assert limiter.room(0.0) == 64
    limiter.take(8)
    assert [room(limiter, inputs) for inputs in (8, 56, 57, 64)] == [7, 1, 0, 0]
    limiter.release()
    assert limiter.messages == 0
    assert limiter.room(0.0) == 8


def test_a_free_slot_is_room_whatever_a_chunk_holds():
    limiter = Limiter(slots=2)
    limiter.observe(1.0)
    limiter.take(1000)
    assert limiter.room(1000.0) == 1


def test_a_worker_for_one_message_takes_one_in_all():
    limiter = Limiter(once=True)
    assert limiter.room(0.0) == 1
    limiter.take(5)
    limiter.observe(1e-9)
    assert limiter.room(0.0) == 0
    limiter.release()
    assert limiter.room(0.0) == 0


def test_the_mean_follows_new_measurements_slowly():
    limiter = Limiter()
    limiter.observe(1.0)
    assert limiter.mean == 1.0
    limiter.observe(2.0)
    assert limiter.mean == pytest.approx(1.2)
    for _ in range(100):
        limiter.observe(2.0)
    assert limiter.mean == pytest.approx(2.0)


def test_work_that_turns_long_leaves_no_room_beyond_the_slots():
    limiter = Limiter()
    limiter.observe(1e-5)
    assert limiter.room(0.0) == MOST_MESSAGES
    limiter.take(1)
    for _ in range(12):
        limiter.observe(1.0)
    assert room(limiter, 1) == 0


def test_one_short_input_that_was_kept_waiting_makes_the_others_no_longer():
    limiter = Limiter()
    limiter.observe(1e-5)
    limiter.observe(1.0)
    assert limiter.mean == pytest.approx(1.6e-5)
    assert limiter.room(0.0) == MOST_MESSAGES


def test_a_clock_too_coarse_to_measure_gives_no_room_beyond_the_slots():
    limiter = Limiter()
    limiter.observe(0.0)
    assert limiter.room(0.0) == 1
    limiter.take(1)
    assert limiter.room(0.0) == 0


def test_a_mean_that_fades_to_nothing_keeps_the_bounds():
    limiter = Limiter()
    limiter.observe(1.0)
    limiter.take(1)
    for _ in range(3340):
        limiter.observe(0.0)
        assert 0 <= room(limiter, 1) < MOST_MESSAGES
    assert room(limiter, 1) in (0, MOST_MESSAGES - 1)


actions = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(1, 100)),
        st.tuples(st.just("finish"), st.integers(0, 100)),
        st.tuples(st.just("observe"), st.floats(0, 10)),
    ),
    max_size=100,
)


@given(actions, st.integers(1, 4), st.booleans())
def test_a_worker_never_hoards(history, slots, once):
    limiter = Limiter(slots=slots, once=once)
    held: list[int] = []
    accepted = 0
    for action, number in history:
        if action == "take" and room(limiter, sum(held)) > 0:
            limiter.take(number)
            held.append(number)
            accepted += 1
            work = (limiter.mean or 10) * (sum(held) - number + 1)
            assert len(held) <= slots or (work <= MOST_WORK * 1.000001 and len(held) <= MOST_MESSAGES)
        elif action == "finish" and held:
            held.pop(number % len(held))
            limiter.release()
        elif action == "observe":
            limiter.observe(number)
        assert limiter.messages == len(held)
        assert room(limiter, sum(held)) >= 0
    assert not once or accepted <= 1


def ready_to_look_ahead(mean: float = 0.01) -> Limiter:
    limiter = Limiter()
    limiter.observe(mean)
    limiter.take(1)
    return limiter


def test_the_next_message_is_asked_for_shortly_before_its_turn():
    limiter = ready_to_look_ahead()
    assert (limiter.ahead(2 * SOON), limiter.ahead(SOON), limiter.ahead(0.0)) == (0, 1, 1)


def test_one_message_ahead_is_enough_when_it_is_long():
    limiter = ready_to_look_ahead()
    assert limiter.ahead(0.0) == 1
    limiter.take(1)
    assert limiter.ahead(2 * 0.01) == 0


def test_as_many_are_asked_for_as_fill_the_time_until_they_are_here():
    limiter = ready_to_look_ahead(SOON / 5)
    assert [limiter.ahead(part * SOON / 5) for part in (4.5, 3.5, 0.5)] == [1, 2, 5]


def test_further_messages_are_expected_to_be_like_the_last_one():
    limiter = ready_to_look_ahead(SOON / 5)
    limiter.take(100)
    assert limiter.ahead(0.0) == 1


@given(means, st.integers(1, 4096), st.floats(0, 1), st.integers(0, MOST_MESSAGES))
def test_never_more_is_asked_for_than_may_be_held(mean, size, work, messages):
    limiter = Limiter()
    limiter.observe(mean)
    for _ in range(messages):
        limiter.take(size)
    assert 0 <= limiter.ahead(work) <= MOST_MESSAGES - messages


def test_nothing_is_foretold_of_long_or_unknown_inputs():
    assert ready_to_look_ahead(FORESEEN * 1.1).ahead(0.0) == 0
    unknown = Limiter()
    unknown.take(1)
    assert unknown.ahead(0.0) == 0


def test_a_worker_for_one_message_looks_at_no_other():
    once = Limiter(once=True)
    once.observe(0.01)
    once.take(1)
    assert once.ahead(0.0) == 0


def test_what_was_asked_for_is_taken_though_there_is_no_room_any_more():
    limiter = ready_to_look_ahead(MOST_WORK)
    assert (limiter.room(MOST_WORK), limiter.room(MOST_BORNE)) == (0, 0)
    assert limiter.bears(MOST_BORNE)
    assert not limiter.bears(MOST_BORNE * 1.01)


def test_nothing_is_borne_beside_long_or_unknown_inputs_or_in_a_worker_for_one_message():
    assert not ready_to_look_ahead(FORESEEN * 1.1).bears(0.0)
    assert not Limiter().bears(0.0)
    once = Limiter(once=True)
    once.observe(0.001)
    assert not once.bears(0.0)
