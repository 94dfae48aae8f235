from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from busfn.protocol.codecs import Payload
from busfn.protocol.envelope import Call
from busfn.spec import LOST_LIMIT
from busfn_services.flight import Entry, Kind
from busfn_services.supervisor.recovery import Verdicts, blameless, recover


def message(count: int = 0, select: tuple[int, int] | None = None, crashes: int = 0) -> Call:
    payload = Payload(content_type="application/msgpack", body=b"inputs")
    return Call(call="c1", payload=payload, index=50, count=count, select=select, crashes=crashes, reply="_INBOX.a")


def entry(cursor: int, upto: int, end: int, crashes: int = 0) -> Entry:
    return Entry(
        kind=Kind.JOB, foreign=False, call="c1", first=50, crashes=crashes, sequence=7, token="t", reply="_INBOX.a",
        cursor=cursor, upto=upto, end=end,
    )  # fmt: skip


def offsets(call: Call) -> list[int]:
    return list(range(*(call.select or (0, max(1, call.count)))))


def pieces(verdicts: Verdicts, call: Call | None = None) -> list[Call]:
    if verdicts.release and call is not None:
        return [call]
    return [*verdicts.again, *([verdicts.failed] if verdicts.failed is not None else [])]


def parts(verdicts: Verdicts) -> list[tuple[tuple[int, int] | None, int]]:
    return [(call.select, call.crashes) for call in verdicts.again]


@st.composite
def held(draw) -> tuple[Call, Entry]:
    """A message that a worker held, and how far it came."""
    count = draw(st.integers(1, 30))
    low = draw(st.integers(0, count - 1))
    high = draw(st.integers(low + 1, count))
    select = (low, high) if (low, high) != (0, count) or draw(st.booleans()) else None
    cursor, upto, end = sorted(draw(st.integers(low, high)) for _ in range(3))
    crashes = draw(st.integers(0, LOST_LIMIT))
    return message(count, select, crashes), entry(cursor, upto, end, crashes)


# A single input


def test_what_was_not_started_keeps_its_place():
    released = Verdicts([], None, release=True)
    assert recover(message(crashes=2), entry(0, 0, 1), hopeless=False) == released
    assert recover(message().copy(reply=""), entry(0, 0, 1), hopeless=False, released=2) == released
    assert recover(message(10), entry(0, 0, 10), hopeless=False) == released
    assert recover(message(10, (3, 6)), entry(3, 3, 6), hopeless=False) == released


def test_a_single_input_that_ran_is_queued_with_one_crash_more():
    call = message()
    assert recover(call, entry(0, 1, 1), hopeless=False) == Verdicts([call.copy(crashes=1)], None)


def test_a_spawned_input_keeps_its_place_after_a_crash_until_it_is_given_up():
    call = message().copy(reply="")
    history = [recover(call, entry(0, 1, 1), hopeless=False, released=times) for times in range(LOST_LIMIT)]
    assert history[:-1] == [Verdicts([], None, release=True)] * (LOST_LIMIT - 1)
    assert (history[-1].again, history[-1].failed.crashes, history[-1].release) == ([], LOST_LIMIT, False)


def test_a_spawned_input_over_its_time_is_given_up_without_a_crash_on_its_record():
    verdicts = recover(message().copy(reply=""), entry(0, 1, 1), hopeless=True)
    assert (verdicts.failed.crashes, verdicts.release) == (0, False)


def test_a_single_input_is_given_up_at_the_limit():
    history = [recover(message(crashes=crashes), entry(0, 1, 1), hopeless=False) for crashes in range(LOST_LIMIT)]
    assert [verdicts.failed is not None for verdicts in history] == [False] * (LOST_LIMIT - 1) + [True]
    assert history[-1].failed.crashes == LOST_LIMIT
    assert history[-1].again == []


def test_a_single_input_that_was_over_its_time_is_given_up_at_once():
    verdicts = recover(message(), entry(0, 1, 1), hopeless=True)
    assert (verdicts.again, verdicts.failed.crashes) == ([], 0)


def test_a_single_input_that_was_answered_is_done():
    assert recover(message(), entry(1, 1, 1), hopeless=False) == Verdicts([], None)


def test_only_what_was_started_last_is_suspected():
    first, second, waiting = replace(entry(0, 1, 1), started=5.0), replace(entry(2, 4, 9), started=6.0), entry(0, 0, 1)
    assert blameless([first, second, waiting]) == [replace(first, upto=0), second, waiting]
    assert blameless([waiting]) == [waiting]
    assert blameless([]) == []


# Chunks


def test_a_chunk_is_divided_into_what_was_answered_what_ran_and_the_rest():
    verdicts = recover(message(10), entry(2, 5, 10), hopeless=False)
    assert parts(verdicts) == [((2, 5), 1), ((5, 10), 0)]
    assert verdicts.failed is None


def test_what_was_given_away_is_not_queued_again():
    assert parts(recover(message(10), entry(2, 5, 7), hopeless=False)) == [((2, 5), 1), ((5, 7), 0)]
    assert parts(recover(message(10), entry(2, 5, 5), hopeless=False)) == [((2, 5), 1)]


def test_a_chunk_that_was_between_two_inputs_blames_none():
    assert parts(recover(message(10, crashes=1), entry(4, 4, 10), hopeless=True)) == [((4, 10), 1)]


def test_the_one_input_of_a_chunk_that_ran_is_given_up_at_the_limit_and_the_rest_is_queued():
    verdicts = recover(message(10, crashes=LOST_LIMIT - 1), entry(4, 5, 10), hopeless=False)
    assert verdicts.failed.select == (4, 5)
    assert parts(verdicts) == [((5, 10), LOST_LIMIT - 1)]


def test_inputs_that_finished_after_an_earlier_crash_are_not_blamed_for_the_next():
    verdicts = recover(message(10, crashes=1), entry(2, 5, 10), hopeless=False)
    assert parts(verdicts) == [((2, 4), 1), ((4, 5), 2), ((5, 10), 1)]


def test_of_several_inputs_that_ran_at_once_none_is_given_up():
    for hopeless in (False, True):
        verdicts = recover(message(10), entry(0, 3, 10), hopeless=hopeless)
        assert parts(verdicts) == [((0, 3), 1), ((3, 10), 0)]
        assert verdicts.failed is None


def test_an_answered_chunk_is_done():
    assert recover(message(10), entry(10, 10, 10), hopeless=False) == Verdicts([], None)


def test_a_record_that_contradicts_the_message_stays_inside_it():
    verdicts = recover(message(10, (3, 6)), entry(0, 1, 99), hopeless=False)
    assert verdicts.release
    verdicts = recover(message(10, (3, 6)), entry(5, 4, 3), hopeless=False)
    assert verdicts == Verdicts([], None)


@given(held(), st.booleans())
def test_what_is_ours_and_unanswered_ends_up_in_exactly_one_part(holding, hopeless):
    call, record = holding
    verdicts = recover(call, record, hopeless=hopeless)
    seen = [offset for piece in pieces(verdicts, call) for offset in offsets(piece)]
    assert sorted(seen) == list(range(record.cursor, record.end))


@given(held(), st.booleans())
def test_only_what_was_started_is_blamed(holding, hopeless):
    call, record = holding
    verdicts = recover(call, record, hopeless=hopeless)
    for piece in pieces(verdicts):
        assert piece.crashes in (call.crashes, call.crashes + 1)
        if piece.crashes > call.crashes:
            assert set(offsets(piece)) <= set(range(record.cursor, record.upto))
    over_time = hopeless and verdicts.failed is not None
    if record.upto > record.cursor and not over_time:
        assert record.upto - 1 in [
            offset for piece in pieces(verdicts) if piece.crashes > call.crashes for offset in offsets(piece)
        ]


@given(held(), st.booleans())
def test_an_input_is_given_up_alone_and_only_for_a_reason(holding, hopeless):
    call, record = holding
    failed = recover(call, record, hopeless=hopeless).failed
    if failed is not None:
        assert offsets(failed) == [record.upto - 1]
        assert hopeless or failed.crashes >= LOST_LIMIT


@given(held(), st.booleans())
def test_parts_are_the_message_in_all_else(holding, hopeless):
    call, record = holding
    for piece in pieces(recover(call, record, hopeless=hopeless), call):
        assert piece.copy(select=call.select, crashes=call.crashes) == call


@given(st.integers(1, 12), st.sets(st.integers(0, 11)), st.integers(1, 12), st.booleans())
def test_a_chunk_with_deadly_inputs_comes_to_an_end_and_only_they_fail(count, deadly, slice_size, over_time):
    """Workers run a chunk in slices (one by one after a crash) and die before the answers of the chunk have left."""
    queue, answered, failed, deaths = [message(count)], set(), set(), 0
    while queue:
        call = queue.pop()
        low, high = offsets(call)[0], offsets(call)[-1] + 1
        size = 1 if call.crashes else slice_size
        killer = next((offset for offset in range(low, high) if offset in deadly), None)
        if killer is None:
            answered |= set(range(low, high))
            continue
        deaths += 1
        assert deaths <= LOST_LIMIT * (count + 1)
        upto = min(high, low + ((killer - low) // size + 1) * size)
        verdicts = recover(call, entry(low, upto, high, call.crashes), hopeless=over_time)
        queue += [call] if verdicts.release else verdicts.again
        failed |= set(offsets(verdicts.failed)) if verdicts.failed is not None else set()
    assert failed == deadly & set(range(count))
    assert answered == set(range(count)) - deadly
