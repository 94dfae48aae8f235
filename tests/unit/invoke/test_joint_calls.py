"""Calls that travel together, on a bus in memory, with a worker that answers as a test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from busfn.bus.base import Message
from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.errors import ClientClosed
from busfn.invoke.conversation import Switchboard
from busfn.invoke.direct import Direct
from busfn.invoke.joint import MOST_BODY, MOST_CALLS, joinable, most_together
from busfn.invoke.link import Link
from busfn.protocol.arguments import pack_arguments
from busfn.protocol.chunks import Inputs
from busfn.protocol.codecs import Codecs, Payload
from busfn.protocol.envelope import Answer, Call, Status, read_call
from busfn.protocol.failure import encode_failure
from busfn.protocol.names import Target
from busfn.protocol.subjects import Subjects
from busfn.sync import LoopThread, Pending

TARGET = Target("app", "double")
SHORT = 0.00001
CODECS = Codecs()
LOST = Answer(status=Status.LOST, payload=Payload(content_type="", body=b""))


def call_of(number: int, **changes: Any) -> Call:
    payload = CODECS.encode(pack_arguments([number], {}), scope="")
    return Call(call=f"call{number}", payload=payload).copy(**changes)


class Worker:
    """Doubles numbers."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self.took = SHORT
        self.calls: list[Call] = []
        self.answer: Callable[[Call], None] = self.double
        """What is done with a message that holds several calls."""

    def on_message(self, message: Message) -> None:
        call = read_call(message.headers, message.body, reply=message.reply, call="")
        self.calls.append(call)
        if call.count:
            self.answer(call)
        else:
            [number] = CODECS.decode(call.payload, scope="")
            self.send(call, Answer(status=Status.OK, payload=plain(2 * number), took=self.took))

    def double(self, call: Call) -> None:
        self.send(call, block(0, [2 * number for number in numbers(call)], self.took))

    def send(self, call: Call, answer: Answer) -> None:
        answer = answer.copy(call=call.call)
        self._bus.publish(call.reply, answer.payload.body, answer.headers())

    @property
    def sizes(self) -> list[int]:
        return [call.count for call in self.calls]


def numbers(call: Call) -> list[int]:
    inputs = Inputs(CODECS, call.payload, "")
    return [inputs.arguments(place)[0][0] for place in range(len(inputs))]


def plain(value: object) -> Payload:
    return CODECS.encode(value, scope="")


def block(index: int, values: Sequence[int], took: float = SHORT) -> Answer:
    return Answer(status=Status.OK, payload=plain(list(values)), index=index, count=len(values), took=took)


class Caller:
    """Makes calls in one turn of the loop."""

    def __init__(self) -> None:
        self.portal = LoopThread()
        self.bus, self.worker = self.portal.run(self._open())
        link = Link(portal=self.portal, bus=self.bus, subjects=Subjects(), codecs=CODECS)
        self.board = Switchboard(link)
        self.direct = Direct(self.board)

    async def _open(self) -> tuple[MemoryBus, Worker]:
        broker = MemoryBroker()
        bus, theirs = MemoryBus(broker), MemoryBus(broker)
        worker = Worker(theirs)
        await theirs.subscribe(Subjects().function(TARGET.app, TARGET.function), worker.on_message, queue="busfn")
        return bus, worker

    def at_once(self, *calls: Call) -> list[Pending[object]]:
        async def start() -> list[Pending[object]]:
            return [self.direct.start(TARGET, call) for call in calls]

        return self.portal.run(start())

    def results(self, *calls: Call) -> list[object]:
        return [pending.wait()() for pending in self.at_once(*calls)]


@pytest.fixture
def caller() -> Iterator[Caller]:
    caller = Caller()
    yield caller
    caller.portal.stop()


@pytest.fixture
def acquainted(caller: Caller) -> Caller:
    """It knows that the function is short."""
    assert caller.results(call_of(0)) == [0]
    caller.worker.calls.clear()
    return caller


def test_calls_of_one_turn_are_one_message_with_their_ids(acquainted: Caller) -> None:
    assert acquainted.results(*map(call_of, range(1, 6))) == [2, 4, 6, 8, 10]
    [call] = acquainted.worker.calls
    assert Inputs(CODECS, call.payload, "").calls == [f"call{n}" for n in range(1, 6)]


def test_before_the_first_answer_they_go_alone(caller: Caller) -> None:
    assert caller.results(*map(call_of, range(3))) == [0, 2, 4]
    assert caller.worker.sizes == [0, 0, 0]


def test_a_single_call_goes_alone(acquainted: Caller) -> None:
    assert acquainted.results(call_of(3)) == [6]
    assert acquainted.worker.sizes == [0]


def test_an_answer_that_tells_no_time_ends_it(acquainted: Caller) -> None:
    acquainted.worker.took = 0.0
    acquainted.results(call_of(1))
    assert acquainted.results(call_of(2), call_of(3)) == [4, 6]
    assert acquainted.worker.sizes == [0, 0, 0]


def test_a_message_holds_no_more_work_than_is_foreseen(acquainted: Caller) -> None:
    acquainted.worker.took = 0.0004
    acquainted.results(call_of(1))
    assert acquainted.results(*map(call_of, range(5))) == [0, 2, 4, 6, 8]
    assert acquainted.worker.sizes == [0, 2, 2, 0]


@pytest.mark.parametrize(
    ("took", "most"), [(0.0, 1), (1e-9, MOST_CALLS), (0.0001, 10), (0.0006, 1), (0.001, 1), (2.0, 1)]
)
def test_how_many_go_together(took: float, most: int) -> None:
    assert most_together(took) == most


def test_who_may_go_with_others() -> None:
    def arguments(*args: object, **kwargs: object) -> Call:
        return call_of(0, payload=CODECS.encode(pack_arguments(args, kwargs), scope=""))

    assert joinable(arguments())
    assert joinable(arguments(*range(20)))
    assert joinable(arguments({"a": [1]}, "text"))
    assert not joinable(arguments(named=1))
    assert not joinable(arguments(b"x" * MOST_BODY))
    assert not joinable(arguments().copy(path=("app.outer",)))
    pickled = Codecs(key=b"k").encode([Opaque()], scope="")
    assert not joinable(call_of(0, payload=pickled))


class Opaque:
    """Needs a pickle."""


def test_the_error_of_one_is_not_that_of_the_others(acquainted: Caller) -> None:
    def answer(call: Call) -> None:
        failure = encode_failure(CODECS, ValueError("no"), scope="", skip=lambda _: False)
        acquainted.worker.send(call, block(0, [2]))
        acquainted.worker.send(call, Answer(status=Status.ERROR, payload=failure, index=1, count=1, text="no"))
        acquainted.worker.send(call, block(2, [6, 8]))

    acquainted.worker.answer = answer
    first, failed, *rest = acquainted.at_once(*map(call_of, range(1, 5)))
    assert [first.wait()(), *(pending.wait()() for pending in rest)] == [2, 6, 8]
    with pytest.raises(ValueError, match="no"):
        failed.wait()()


def test_what_is_sent_back_goes_on_alone_and_what_was_answered_does_not(acquainted: Caller) -> None:
    def answer(call: Call) -> None:
        acquainted.worker.send(call, block(0, [2]))
        acquainted.worker.send(
            call, Answer(status=Status.LOST, payload=Payload(content_type="", body=b""), index=1, count=2)
        )

    acquainted.worker.answer = answer
    assert acquainted.results(*map(call_of, range(1, 4))) == [2, 4, 6]
    joint, *alone = acquainted.worker.calls
    assert joint.count == 3
    assert [(call.call, call.count) for call in alone] == [("call2", 0), ("call3", 0)]


def test_a_message_whose_worker_is_lost_goes_on_call_by_call(acquainted: Caller) -> None:
    acquainted.worker.answer = lambda call: acquainted.worker.send(call, LOST)
    assert acquainted.results(*map(call_of, range(1, 4))) == [2, 4, 6]
    assert acquainted.worker.sizes == [3, 0, 0, 0]


def test_a_message_that_comes_back_unread_goes_on_call_by_call(acquainted: Caller) -> None:
    acquainted.worker.answer = lambda call: acquainted.worker.send(call, LOST.copy(status=Status.UNREAD))
    assert acquainted.results(*map(call_of, range(1, 4))) == [2, 4, 6]
    assert acquainted.worker.sizes == [3, 0, 0, 0]


def test_a_wrong_number_of_values_is_an_error_of_all(acquainted: Caller) -> None:
    acquainted.worker.answer = lambda call: acquainted.worker.send(call, block(0, [2]).copy(count=2))
    for pending in acquainted.at_once(call_of(1), call_of(2)):
        with pytest.raises(Exception, match="announces 2 values"):
            pending.wait()()


def test_a_call_that_is_cancelled_before_it_is_sent_is_never_run(acquainted: Caller) -> None:
    async def start_and_cancel() -> Pending[object]:
        gone, kept = (acquainted.direct.start(TARGET, call_of(n)) for n in (1, 2))
        await asyncio.sleep(0)  # both wait for the end of the turn
        gone.cancel()
        return kept

    assert acquainted.portal.run(start_and_cancel()).wait()() == 4
    assert "call1" not in [call.call for call in acquainted.worker.calls if not call.count]


def test_what_comes_after_the_client_was_closed_fails(acquainted: Caller) -> None:
    acquainted.portal.call(acquainted.board.close, ClientClosed("closed"))
    for pending in acquainted.at_once(call_of(1), call_of(2)):
        with pytest.raises(ClientClosed):
            pending.wait()()


def test_closing_the_client_fails_them_all(acquainted: Caller) -> None:
    acquainted.worker.answer = lambda call: None
    waiting = acquainted.at_once(call_of(1), call_of(2))
    acquainted.portal.call(lambda: acquainted.portal.loop.call_soon(acquainted.board.close, ClientClosed("closed")))
    for pending in waiting:
        with pytest.raises(ClientClosed):
            pending.wait()()
