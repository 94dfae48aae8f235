"""Calls and answers that lie unread, on a bus in memory: each call runs once, however often it was sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from busfn.bus.base import Message
from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.invoke import conversation, liveness
from busfn.invoke.conversation import Conversation, Switchboard
from busfn.invoke.link import Link
from busfn.invoke.liveness import SILENCE
from busfn.protocol.codecs import Codecs, Payload
from busfn.protocol.envelope import Answer, Call, Status, read_call
from busfn.protocol.names import Target
from busfn.protocol.subjects import Subjects
from busfn.sync import LoopThread
from busfn_services.handon import beat, decline

TARGET = Target("app", "f")
EMPTY = Payload(content_type="", body=b"")


class Site:
    """A caller, and what a worker has got from it."""

    def __init__(self) -> None:
        self.portal = LoopThread()
        self.copies: list[Call] = []
        self.answers: list[Answer] = []
        self.errors: list[BaseException] = []
        self.portal.run(self._begin())

    async def _begin(self) -> None:
        broker = MemoryBroker()
        self.bus, self.theirs = MemoryBus(broker), MemoryBus(broker)
        await self.theirs.subscribe(Subjects().function(TARGET.app, TARGET.function), self.on_message)
        board = Switchboard(Link(portal=self.portal, bus=self.bus, subjects=Subjects(), codecs=Codecs()))
        self.conversation = Conversation(
            board, TARGET, Call(call="c1", payload=EMPTY), on_answer=self.on_answer, on_error=self.errors.append
        )
        self.conversation.begin()
        await self.bus.flush()

    def on_message(self, message: Message) -> None:
        self.copies.append(read_call(message.headers, message.body, reply=message.reply, call=""))

    def on_answer(self, answer: Answer, _reply: str) -> None:
        self.answers.append(answer)
        self.conversation.end()

    def fall_silent(self) -> None:
        """So long that the call is sent again."""
        self._do(lambda: self.conversation.check(time.monotonic() + SILENCE + 1, hearing=True))

    def decline(self, copy: int, sequence: int = 0) -> None:
        self._do(lambda: decline(self.theirs, self.copies[copy], "w1", sequence))

    def queue(self, copy: int, sequence: int) -> None:
        call = self.copies[copy]
        self._do(lambda: beat(self.theirs, call.reply, call.call, sequence=sequence))

    def answer(self, copy: int) -> None:
        ok = Answer(status=Status.OK, payload=EMPTY, call="c1")
        self._do(lambda: self.theirs.publish(self.copies[copy].reply, b"", ok.headers()))

    def until_copies(self, number: int) -> None:
        deadline = time.monotonic() + 10
        while len(self.copies) < number:
            assert time.monotonic() < deadline, "it was not sent again"
            time.sleep(0.001)

    def _do(self, step: Callable[[], None]) -> None:
        """Something, and all that follows from it."""

        async def do() -> None:
            step()
            await self.theirs.flush()
            await self.bus.flush()

        self.portal.run(do())


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.portal.stop()


def test_a_call_that_comes_back_unread_is_sent_again_at_once(site: Site):
    site.decline(0)
    assert len(site.copies) == 2
    assert site.copies[1].crashes == 0
    site.answer(1)
    assert len(site.answers) == 1


def test_of_two_copies_the_one_that_was_read_in_time_is_the_one_that_runs(site: Site):
    site.fall_silent()
    assert len(site.copies) == 2
    site.decline(0)
    assert len(site.copies) == 2
    site.answer(1)
    assert len(site.answers) == 1


def test_when_all_copies_come_back_it_is_sent_once_more(site: Site):
    site.fall_silent()
    site.decline(0)
    site.decline(1)
    assert len(site.copies) == 3


def test_a_call_that_lay_unread_in_a_queue_is_sent_again(site: Site):
    site.queue(0, sequence=7)
    site.decline(0, sequence=7)
    assert len(site.copies) == 2


def test_a_copy_whose_place_in_a_queue_was_never_told_comes_back_while_another_is_out(site: Site):
    site.fall_silent()
    site.decline(0, sequence=7)
    assert len(site.copies) == 2
    site.answer(1)
    assert len(site.answers) == 1


def test_a_copy_that_comes_back_after_the_answer_is_of_no_interest(site: Site):
    site.fall_silent()
    site.answer(1)
    site.decline(0)
    assert (len(site.copies), len(site.answers), site.errors) == (2, 1, [])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "TICK", 0.01)
    monkeypatch.setattr(conversation, "ANSWERING", 0.05)
    monkeypatch.setattr(liveness, "SILENCE", 0.5)


def test_a_call_that_nobody_says_a_word_of_is_sent_again(impatient: None, site: Site):
    site.until_copies(3)


def test_while_the_bus_does_not_answer_us_silence_says_nothing(
    impatient: None, site: Site, monkeypatch: pytest.MonkeyPatch
):
    answering, flush = asyncio.Event(), site.bus.flush

    async def flush_later(timeout: float = 10.0) -> None:
        await answering.wait()
        await flush(timeout)

    monkeypatch.setattr(site.bus, "flush", flush_later)
    time.sleep(0.2)  # what was heard before counts no more
    before = len(site.copies)
    time.sleep(1.0)
    assert len(site.copies) == before
    site.portal.call(answering.set)
    site.until_copies(before + 1)


def test_time_in_which_we_could_not_run_says_nothing(impatient: None, site: Site):
    """What came meanwhile is there, unread."""
    site.portal.run(asyncio.sleep(0.05))
    before = len(site.copies)
    site.portal.call(time.sleep, 1.5)
    site.portal.run(site.theirs.flush())
    assert len(site.copies) == before
