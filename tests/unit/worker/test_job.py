from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.protocol.codecs import Payload
from busfn.protocol.envelope import Call
from busfn_services.flight import Kind
from busfn_services.worker.job import Job

PATIENCE = 10.0


def job(count: int, select: tuple[int, int] | None = None) -> Job:
    call = Call(call="c1", payload=Payload(content_type="", body=b""), index=100, count=count, select=select)
    return Job(call, Kind.JOB, 3, "token", 9)


@st.composite
def chunks(draw) -> tuple[Job, range]:
    """A job, and the offsets it starts with."""
    count = draw(st.integers(1, 40))
    if draw(st.booleans()):
        return job(count), range(count)
    low = draw(st.integers(0, count - 1))
    high = draw(st.integers(low + 1, count))
    return job(count, (low, high)), range(low, high)


def test_a_single_call_is_one_input():
    single = job(0)
    assert (single.begin, single.inputs, single.remaining) == (0, 1, 1)
    assert single.take(10) == range(1)
    assert single.remaining == 0
    assert not single.take(10)


def test_a_selected_part_of_a_chunk_keeps_its_offsets():
    part = job(10, (4, 7))
    assert (part.begin, part.inputs, part.remaining) == (4, 3, 3)
    assert [part.take(2), part.take(2)] == [range(4, 6), range(6, 7)]


def test_what_was_given_away_is_neither_ours_nor_taken():
    chunk = job(10)
    chunk.take(3)
    assert chunk.cut() == (3, 10)
    assert (chunk.inputs, chunk.remaining) == (3, 0)
    assert not chunk.take(1)
    assert chunk.cut() is None


def test_what_nobody_else_could_be_given_is_taken_back_before_the_end_was_reached():
    chunk = job(count=10)
    chunk.take(3)
    rest = chunk.cut()
    assert rest == (3, 10)
    assert chunk.restore(rest)
    assert (chunk.inputs, list(chunk.take(2))) == (10, [3, 4])
    rest = chunk.cut()
    assert rest == (5, 10)
    assert list(chunk.take(2)) == []
    assert not chunk.restore(rest)


@pytest.mark.parametrize("back", [True, False])
def test_the_end_is_not_reached_before_it_is_known_whether_others_take_the_rest(back):
    chunk = job(count=10)
    chunk.take(3)
    rest = chunk.cut(offered=True)
    assert rest == (3, 10)
    with ThreadPoolExecutor(1) as runner:
        taken = runner.submit(chunk.take, 2)
        with pytest.raises(TimeoutError):
            taken.result(timeout=0.05)
        if back:
            assert chunk.restore(rest)
        chunk.decided()
        assert list(taken.result(timeout=PATIENCE)) == ([3, 4] if back else [])


def test_what_is_left_is_run_while_others_are_offered_the_rest():
    chunk = job(count=10)
    assert chunk.cut(keep=2, offered=True) == (2, 10)
    assert list(chunk.take(5)) == [0, 1]


def test_a_cut_may_keep_inputs_that_were_not_started():
    chunk = job(10)
    assert chunk.cut(keep=1) == (1, 10)
    assert (chunk.inputs, chunk.remaining) == (1, 1)
    assert chunk.take(5) == range(1)


@pytest.mark.parametrize("keep", [5, 6])
def test_a_cut_that_keeps_everything_gives_nothing_away(keep):
    chunk = job(5)
    assert chunk.cut(keep) is None
    assert (chunk.inputs, chunk.remaining) == (5, 5)


def test_a_chunk_whose_inputs_all_were_started_is_not_cut():
    chunk = job(5)
    chunk.take(5)
    assert chunk.cut() is None
    assert chunk.inputs == 5


actions = st.lists(st.tuples(st.sampled_from(["take", "cut"]), st.integers(0, 12)), max_size=20)


@given(chunks(), actions)
def test_every_input_is_started_or_given_away_once(chunk, history):
    one, offsets = chunk
    started: list[int] = []
    given_away: list[int] = []
    for action, number in history:
        if action == "take":
            took = one.take(number)
            assert len(took) <= number
            started += took
        elif (rest := one.cut(number)) is not None:
            assert rest[0] < rest[1]
            given_away = [*range(*rest), *given_away]
        assert one.inputs == len(offsets) - len(given_away)
        assert one.remaining == one.inputs - len(started)
    started += one.take(len(offsets))
    assert started + given_away == list(offsets)


def test_taking_and_cutting_at_the_same_time_share_the_inputs_without_overlap():
    count = 400
    for _ in range(50):
        chunk = job(count)
        ready = threading.Barrier(2)
        cuts: list[tuple[int, int]] = []

        def cut(chunk: Job = chunk, ready: threading.Barrier = ready, cuts: list[tuple[int, int]] = cuts) -> None:
            ready.wait(PATIENCE)
            for keep in range(count, -1, -7):
                if (rest := chunk.cut(keep)) is not None:
                    cuts.append(rest)

        cutter = threading.Thread(target=cut)
        cutter.start()
        ready.wait(PATIENCE)
        started: list[int] = []
        while took := chunk.take(3):
            started += took
        cutter.join(PATIENCE)
        given_away = [offset for rest in reversed(cuts) for offset in range(*rest)]
        assert started + given_away == list(range(count))
        assert chunk.inputs == len(started)


def test_a_job_keeps_what_settles_it():
    one = job(2)
    assert (one.kind, one.slot, one.token, one.sequence) == (Kind.JOB, 3, "token", 9)
    assert one.wire is one.call


def test_a_call_that_came_directly_has_nothing_to_settle():
    direct = Job(job(0).call, Kind.DIRECT, 0)
    assert (direct.token, direct.sequence) == ("", 0)
