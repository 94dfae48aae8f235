from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from busfn.errors import ProtocolError
from busfn.protocol.stream import TRANSITIONS, WINDOW_BYTES, WINDOW_ITEMS, Event, Receiver, Sender, State

ALLOWED = {(State.OPEN, Event.ITEMS): State.OPEN, (State.OPEN, Event.END): State.ENDED}


def sender_in(state: State) -> Sender:
    return Sender(state=state)


def receiver_in(state: State) -> Receiver:
    return Receiver(state=state)


SENDER_EVENTS = {Event.ITEMS: lambda sender: sender.sent(1, 1), Event.END: lambda sender: sender.ended()}
RECEIVER_EVENTS = {
    Event.ITEMS: lambda receiver: receiver.accept(0, 1, 1),
    Event.END: lambda receiver: receiver.end(0),
}


def test_the_table_names_every_state():
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
@pytest.mark.parametrize(
    ("make", "events"), [(sender_in, SENDER_EVENTS), (receiver_in, RECEIVER_EVENTS)], ids=["sender", "receiver"]
)
def test_every_event_in_every_state(make, events, state, event):
    end = make(state)
    if (state, event) in ALLOWED:
        events[event](end)
        assert end.state is ALLOWED[state, event]
    else:
        with pytest.raises(ProtocolError, match=f"{state.value} got more {event.value}"):
            events[event](end)
        assert end.state is state


def test_items_in_order_are_all_new():
    receiver = Receiver()
    assert [receiver.accept(first, 3, 10) for first in (0, 3, 6)] == [0, 0, 0]
    assert receiver.expected == 9


@pytest.mark.parametrize(
    ("first", "count", "repeats", "expected"),
    [(0, 2, 2, 5), (0, 5, 5, 5), (3, 2, 2, 5), (3, 4, 2, 7), (0, 9, 5, 9), (5, 0, 0, 5), (2, 0, 0, 5)],
)
def test_repeated_items_are_counted_so_that_they_can_be_skipped(first, count, repeats, expected):
    receiver = Receiver(expected=5)
    assert receiver.accept(first, count, 1) == repeats
    assert receiver.expected == expected


def test_a_gap_is_refused_and_changes_nothing():
    receiver = Receiver(expected=5)
    with pytest.raises(ProtocolError, match="items 5 to 7 of a stream are missing"):
        receiver.accept(8, 1, 1)
    assert (receiver.expected, receiver.state) == (5, State.OPEN)
    assert receiver.accept(5, 1, 1) == 0


def test_an_end_before_all_items_arrived_is_refused_and_the_stream_is_not_done():
    receiver = Receiver(expected=5)
    with pytest.raises(ProtocolError, match="a stream of 6 items ended after 5"):
        receiver.end(6)
    assert not receiver.done


def test_a_stream_is_done_when_its_end_came_after_all_items():
    receiver = Receiver()
    receiver.accept(0, 5, 1)
    assert not receiver.done
    receiver.end(5)
    assert receiver.done


def test_a_stream_of_nothing_ends():
    receiver = Receiver()
    receiver.end(0)
    assert receiver.done


@pytest.mark.parametrize(("items", "size"), [(WINDOW_ITEMS, 0), (0, WINDOW_BYTES)])
def test_a_sender_stops_when_either_window_is_used_up(items, size):
    sender = Sender()
    sender.sent(items - 1 if items else 0, size - 1 if size else 0)
    assert sender.can_send()
    sender.sent(1 if items else 0, 1 if size else 0)
    assert not sender.can_send()


def test_one_item_may_overdraw_the_bytes_and_is_paid_back():
    sender = Sender()
    sender.sent(1, 5 * WINDOW_BYTES)
    assert not sender.can_send()
    sender.granted(1, 4 * WINDOW_BYTES)
    assert not sender.can_send()
    sender.granted(0, 1)
    assert sender.can_send()


def test_credit_after_the_end_is_harmless():
    sender = Sender()
    sender.ended()
    sender.granted(10, 10)
    assert sender.state is State.ENDED


@pytest.mark.parametrize(("items", "size"), [(WINDOW_ITEMS // 4, 0), (1, WINDOW_BYTES // 4)])
def test_credit_is_granted_once_a_quarter_of_a_window_was_taken(items, size):
    receiver = Receiver()
    receiver.accept(0, items, size)
    assert receiver.grant_due() == (items, size)
    assert receiver.grant_due() == (0, 0)


def test_little_credit_is_saved_up():
    receiver = Receiver()
    receiver.accept(0, WINDOW_ITEMS // 4 - 1, 5)
    assert receiver.grant_due() == (0, 0)
    receiver.accept(WINDOW_ITEMS // 4 - 1, 1, 6)
    assert receiver.grant_due() == (WINDOW_ITEMS // 4, 11)


class Stream(RuleBasedStateMachine):
    """A sender and a receiver with frames and grants on their way in between."""

    def __init__(self) -> None:
        super().__init__()
        self.sender = Sender()
        self.receiver = Receiver()
        self.frames: list[tuple[int, list[int]]] = []
        self.grants: list[tuple[int, int]] = []
        self.next = 0
        self.largest = 0
        self.in_flight_items = 0
        self.in_flight_size = 0
        self.taken: list[int] = []

    @precondition(lambda self: self.sender.can_send() and not self.receiver.done)
    @rule(sizes=st.lists(st.sampled_from([1, 100, 5000, 300_000, WINDOW_BYTES]), min_size=1, max_size=300))
    def send(self, sizes):
        frame: list[int] = []
        for size in sizes:
            if not self.sender.can_send():
                break
            self.sender.sent(1, size)
            self.largest = max(self.largest, size)
            frame.append(size)
        self.frames.append((self.next, frame))
        self.next += len(frame)
        self.in_flight_items += len(frame)
        self.in_flight_size += sum(frame)

    @precondition(lambda self: self.frames)
    @rule()
    def take(self):
        first, frame = self.frames.pop(0)
        skip = self.receiver.accept(first, len(frame), sum(frame))
        assert skip == 0
        self.taken.extend(range(first, first + len(frame)))
        self.in_flight_items -= len(frame)
        self.in_flight_size -= sum(frame)
        grant = self.receiver.grant_due()
        if grant != (0, 0):
            self.grants.append(grant)

    @precondition(lambda self: self.grants)
    @rule()
    def grant(self):
        self.sender.granted(*self.grants.pop(0))

    @invariant()
    def never_more_than_a_window_ahead(self):
        assert self.in_flight_items <= WINDOW_ITEMS
        assert self.in_flight_size <= WINDOW_BYTES + max(0, self.largest - 1)
        assert self.sender.items <= WINDOW_ITEMS
        assert self.sender.size <= WINDOW_BYTES

    @invariant()
    def every_item_once_in_order(self):
        assert self.taken == list(range(len(self.taken)))

    @invariant()
    def never_stuck(self):
        assert self.sender.can_send() or self.frames or self.grants

    def teardown(self):
        while self.frames:
            self.take()
        self.receiver.end(self.next)
        assert self.receiver.done
        assert len(self.taken) == self.next


TestStream = Stream.TestCase
TestStream.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)), max_size=30))
def test_a_receiver_takes_each_item_once_whatever_arrives(frames):
    receiver, taken = Receiver(), []
    for first, count in frames:
        try:
            skip = receiver.accept(first, count, 1)
        except ProtocolError:
            assert first > len(taken)
            continue
        taken.extend(range(first, first + count)[skip:])
    assert taken == list(range(receiver.expected))
