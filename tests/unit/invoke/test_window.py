from __future__ import annotations

import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.invoke.window import (
    GROWTH,
    LEAST_MESSAGES,
    LEAST_WORK,
    MESSAGES_A_WORKER,
    MOST_BYTES,
    MOST_INPUTS,
    SHARES,
    TARGET_WORK,
    Block,
    Outbound,
    Window,
)


def block(first: int, count: int = 1) -> Block:
    """Results that tell which input they are of."""
    return Block(first, list(range(first, first + count)))


def taken(window: Window) -> list[int]:
    values: list[int] = []
    while (one := window.take()) is not None:
        assert list(one.values) == list(range(one.first, one.first + one.count))
        values.extend(one.values)
    return values


def measured(mean: float, **options: bool) -> Window:
    """A window that knows how long an input takes."""
    window = Window(ordered=True, **options)
    window.ran("w", mean)
    return window


@st.composite
def splits(draw, first: int, count: int) -> list[Block]:
    """The results of a message in consecutive blocks."""
    cuts = sorted(draw(st.sets(st.integers(1, count - 1), max_size=3))) if count > 1 else []
    edges = [0, *cuts, count]
    return [block(first + low, high - low) for low, high in pairwise(edges)]


@st.composite
def exchanges(draw) -> tuple[list[int], list[Block]]:
    """Sizes of messages, and answers to all of them: split, some twice in different splits, in any order."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=12))
    answers: list[Block] = []
    first = 0
    for size in sizes:
        for _ in range(draw(st.integers(1, 3))):
            answers += draw(splits(first, size))
        first += size
    return sizes, draw(st.permutations(answers))


# Every result once


@given(exchanges(), st.booleans(), st.data())
def test_every_result_is_taken_exactly_once(exchange, ordered, data):
    sizes, answers = exchange
    window = Window(ordered=ordered)
    for size in sizes:
        window.send(size)
    results: list[int] = []
    for answer in answers:
        window.receive(answer)
        if data.draw(st.booleans()):
            results += taken(window)
            if ordered:
                assert results == list(range(len(results)))
    results += taken(window)
    assert sorted(results) == list(range(sum(sizes)))
    assert window.idle
    assert window.waiting() == []


@given(exchanges())
def test_a_message_is_completed_once_by_the_answer_to_its_last_input(exchange):
    sizes, answers = exchange
    window = Window(ordered=False)
    outs = [window.send(size) for size in sizes]
    missing = {out.first: set(range(out.first, out.first + out.count)) for out in outs}
    for answer in answers:
        out = next(o for o in outs if o.first <= answer.first < o.first + o.count)
        before = bool(missing[out.first])
        missing[out.first] -= set(range(answer.first, answer.first + answer.count))
        assert window.receive(answer) == (before and not missing[out.first])
        assert (window.outbound(answer.first) is out) == bool(missing[out.first])


@given(exchanges(), st.data())
def test_what_is_unanswered_is_told_in_runs_as_long_as_possible(exchange, data):
    sizes, answers = exchange
    window = Window(ordered=True)
    for size in sizes:
        window.send(size)
    missing = set(range(sum(sizes)))
    for answer in answers[: data.draw(st.integers(0, len(answers)))]:
        window.receive(answer)
        missing -= set(range(answer.first, answer.first + answer.count))
    seen: list[int] = []
    for out in window.waiting():
        runs = out.unanswered()
        for (first, count), (following, _) in pairwise(runs):
            assert first + count < following
        assert runs[0][0] >= out.first
        assert sum(runs[-1]) <= out.first + out.count
        seen += [index for first, count in runs for index in range(first, first + count)]
    assert seen == sorted(missing)


@given(exchanges(), st.data())
def test_sending_what_is_unanswered_again_finishes_a_map_that_lost_answers(exchange, data):
    sizes, answers = exchange
    window = Window(ordered=True)
    for size in sizes:
        window.send(size)
    for answer in answers[: data.draw(st.integers(0, len(answers)))]:
        window.receive(answer)
    for out in window.waiting():
        for first, count in out.unanswered():
            window.receive(block(first, count))
    assert taken(window) == list(range(sum(sizes)))
    assert window.idle


def test_runs_of_a_message_without_answers_and_with_holes():
    window = Window(ordered=True)
    window.send(3)
    out = window.send(6)
    assert out.unanswered() == [(3, 6)]
    window.receive(block(4, 2))
    window.receive(block(7))
    assert out.unanswered() == [(3, 1), (6, 1), (8, 1)]
    assert Outbound(5, 2, 1, bytearray([1, 0])).unanswered() == [(6, 1)]


def test_messages_that_wait_are_told_oldest_first():
    window = Window(ordered=False)
    outs = [window.send(2) for _ in range(4)]
    window.receive(block(2, 2))
    assert window.waiting() == [outs[0], outs[2], outs[3]]


@pytest.mark.parametrize("index", [5, 100])
def test_answers_to_what_was_never_sent_are_dropped(index):
    window = Window(ordered=False)
    window.send(5)
    assert not window.receive(block(index))
    assert window.outbound(index) is None
    assert taken(window) == []


def test_answers_before_anything_was_sent_are_dropped():
    window = Window(ordered=True)
    assert not window.receive(block(0))
    assert window.take() is None
    assert window.idle


def test_more_results_than_a_message_has_inputs_are_dropped():
    window = Window(ordered=False)
    window.send(3)
    assert window.receive(block(0, 5))
    window.send(3)
    assert taken(window) == [0, 1, 2]
    assert window.receive(block(3, 3))
    assert taken(window) == [3, 4, 5]


def test_a_failure_keeps_its_error_when_it_is_split():
    error = ValueError("boom")
    window = Window(ordered=True)
    window.send(3)
    window.receive(block(1))
    window.receive(Block(0, [error] * 3, error))
    results = [window.take() for _ in range(3)]
    assert [one.failure for one in results] == [error, None, error]
    assert [list(one.values) for one in results] == [[error], [1], [error]]
    assert window.idle


def test_in_order_nothing_is_yielded_before_the_first():
    window = Window(ordered=True)
    for _ in range(3):
        window.send(1)
    window.receive(block(2))
    window.receive(block(1))
    assert window.take() is None
    assert not window.idle
    window.receive(block(0))
    assert taken(window) == [0, 1, 2]


def test_without_order_results_are_yielded_as_they_come():
    window = Window(ordered=False)
    for _ in range(3):
        window.send(1)
    window.receive(block(2))
    assert taken(window) == [2]
    window.receive(block(0))
    assert taken(window) == [0]


def test_a_window_is_idle_when_all_was_answered_and_taken():
    window = Window(ordered=True)
    assert window.idle
    window.send(1)
    assert not window.idle
    window.receive(block(0))
    assert not window.idle
    window.take()
    assert window.idle
    assert window.sent == 1


def test_a_message_of_long_ago_is_still_found_among_many():
    window = Window(ordered=False)
    first = window.send(1)
    for index in range(1, 1000):
        window.send(1)
        assert window.receive(block(index))
    assert window.outbound(0) is first
    assert window.outbound(999) is None
    assert window.receive(block(0))
    assert window.idle is False
    assert len(taken(window)) == 1000


def test_a_long_map_keeps_nothing_of_what_is_done():
    window = Window(ordered=True)
    sizes = []
    for index in range(5000):
        window.send(1)
        window.receive(block(index))
        window.take()
        sizes.append(len(pickle.dumps(window)))
    assert max(sizes) < 1000


# Bounds


steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 64)),
        st.tuples(st.just("answer"), st.integers(0, 1000)),
        st.tuples(st.just("ran"), st.floats(0, 10)),
        st.tuples(st.just("weigh"), st.integers(0, 10**7)),
    ),
    max_size=200,
)


@given(steps, st.booleans(), st.booleans(), st.integers(0, 20))
def test_what_is_out_is_bounded_whatever_happens(actions, ordered, chunked, workers):
    window = Window(ordered=ordered, chunked=chunked)
    for number in range(workers):
        window.workers.add(f"w{number}")
    for action, argument in actions:
        if action == "send":
            size = window.size()
            assert 0 <= size <= (MOST_INPUTS if chunked else 1)
            if size:
                window.send(min(size, argument))
        elif action == "answer" and (waiting := window.waiting()):
            out = waiting[argument % len(waiting)]
            window.receive(block(out.first, out.count))
            taken(window)
        elif action == "ran":
            window.ran(f"w{int(argument) % 3}", argument)
        elif action == "weigh":
            window.weigh(max(1, argument % 100), argument)
        assert len(window.waiting()) <= max(LEAST_MESSAGES, MESSAGES_A_WORKER * len(window.workers))


def filled(window: Window) -> int:
    """Send single inputs until nothing more may be sent; how many messages are out then."""
    for _ in range(10_000):
        if not window.size():
            return len(window.waiting())
        window.send(1)
    raise AssertionError("the window never fills")


def drained_of_all_but_the_first(window: Window, size: int) -> int:
    """Answer everything but the first message until nothing more may be sent; how many inputs were sent."""
    window.send(size)
    for _ in range(10_000):
        if not window.size():
            return window.sent
        out = window.send(size)
        window.receive(block(out.first, out.count))
    raise AssertionError("the window never fills")


@pytest.mark.parametrize("size", [1, 64])
def test_results_that_wait_for_an_earlier_one_are_bounded(size):
    window = Window(ordered=True)
    window.workers.update(f"w{n}" for n in range(10))
    assert drained_of_all_but_the_first(window, size) == (MESSAGES_A_WORKER * 10 + 1) * size
    window.receive(block(0, size))
    taken(window)
    assert window.size() > 0


def test_a_full_window_never_waits_for_nothing():
    window = Window(ordered=True)
    assert filled(window) == LEAST_MESSAGES
    window.receive(block(0))
    assert window.size() == 1


def test_more_workers_allow_more_messages():
    window = Window(ordered=True)
    for number in range(20):
        window.ran(f"w{number}", 1.0)
    assert filled(window) == MESSAGES_A_WORKER * 20


# Sizes


def test_messages_hold_one_input_until_it_is_known_how_long_one_takes():
    window = Window(ordered=True)
    assert window.size() == 1
    window.send(1)
    assert window.size() == 1


@given(st.floats(0, TARGET_WORK / MOST_INPUTS, allow_subnormal=True))
def test_messages_of_short_work_grow_step_by_step_to_the_most(mean):
    window = measured(mean)
    sizes = []
    for _ in range(6):
        sizes.append(window.size())
        out = window.send(sizes[-1])
        window.receive(block(out.first, out.count))
    assert sizes == [min(GROWTH**n, MOST_INPUTS) for n in range(1, 7)]


@given(st.floats(TARGET_WORK / 1.99, 1e6), st.integers(1, MOST_INPUTS))
def test_messages_of_long_work_hold_one_input(mean, last):
    window = measured(mean)
    window.send(last)
    assert window.size() == 1


@given(st.floats(1e-6, TARGET_WORK))
def test_a_message_holds_no_more_than_the_target_of_work(mean):
    window = measured(mean)
    window.send(MOST_INPUTS)
    assert window.size() * mean <= TARGET_WORK * 1.000001
    assert (window.size() + 1.001) * mean > TARGET_WORK or window.size() == MOST_INPUTS


@given(st.integers(1, 10**7), st.integers(1, 100))
def test_a_message_holds_no_more_bytes_than_the_limit(size, count):
    window = measured(1e-9)
    window.send(MOST_INPUTS)
    window.weigh(count, size)
    fitting = window.size()
    assert fitting == 1 or fitting * size / count <= MOST_BYTES * 1.000001
    assert fitting == MOST_INPUTS or (fitting + 1.001) * size / count > MOST_BYTES


def test_the_measured_work_is_smoothed():
    window = measured(0.001)
    window.send(MOST_INPUTS)
    window.ran("w", 0.002)
    assert window.size() == int(TARGET_WORK / 0.0013)


def test_one_heavy_input_is_forgotten_slowly():
    window = measured(1e-9)
    window.send(MOST_INPUTS)
    window.weigh(1, MOST_BYTES)
    sizes = []
    for _ in range(5):
        sizes.append(window.size())
        window.weigh(1, 10)
    assert sizes == [1, 2, 4, 8, 16]


def test_inputs_without_weight_or_work_fill_a_message():
    window = measured(0.0)
    window.send(MOST_INPUTS)
    for _ in range(5000):
        window.weigh(1, 0)
        window.ran("w", 0.0)
    assert window.size() == MOST_INPUTS


def test_means_that_fade_to_nothing_fill_a_message():
    window = measured(1.0)
    window.send(MOST_INPUTS)
    window.weigh(1, 1)
    for _ in range(2070):
        window.weigh(1, 0)
        window.ran("w", 0.0)
        assert 1 <= window.size() <= MOST_INPUTS
    assert window.size() == MOST_INPUTS


@given(st.floats(1e-5, 0.01), st.integers(1, 20_000), st.integers(1, 8))
def test_messages_get_shorter_at_the_end_so_that_all_workers_end_together(mean, total, workers):
    window = measured(mean)
    window.total = total
    window.workers.update(f"w{n}" for n in range(workers - 1))
    while left := total - window.sent:
        size = min(window.size(), left)
        assert size <= max(1, LEAST_WORK / mean, left / (SHARES * workers))
        out = window.send(size)
        window.receive(block(out.first, out.count))
        taken(window)


def test_no_message_is_shortened_to_next_to_nothing():
    window = measured(1e-6)
    window.total = MOST_INPUTS + 1000
    window.send(MOST_INPUTS)
    window.receive(block(0, MOST_INPUTS))
    taken(window)
    assert window.size() == int(LEAST_WORK / 1e-6)


def test_more_inputs_than_were_announced_are_sent_as_well():
    window = measured(1.0)
    window.total = 1
    for _ in range(3):
        assert window.size() == 1
        window.send(1)


def test_work_that_turns_long_shrinks_messages():
    window = measured(1e-6)
    window.send(MOST_INPUTS)
    before = window.size()
    for _ in range(3):
        window.ran("w", 1.0)
    assert before == MOST_INPUTS
    assert window.size() == 1


def test_a_window_that_does_not_chunk_sends_single_inputs():
    window = measured(1e-9, chunked=False)
    window.send(1)
    assert window.size() == 1
