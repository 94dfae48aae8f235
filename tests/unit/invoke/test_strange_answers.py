"""Whoever learns where a caller's answers come still cannot answer its calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from busfn.bus.base import Message
from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.errors import ProtocolError
from busfn.invoke.conversation import Switchboard
from busfn.invoke.exchange import Exchange
from busfn.invoke.joint import JointCalls
from busfn.invoke.link import Link
from busfn.invoke.mapper import MapOptions, Mapping
from busfn.invoke.streaming import Stream
from busfn.protocol.codecs import Codecs, Payload
from busfn.protocol.codecs.msgpack import pack
from busfn.protocol.envelope import Answer, Call, Status
from busfn.protocol.names import Target
from busfn.protocol.subjects import Subjects
from busfn.streams import streams
from busfn.sync import LoopThread

TARGET = Target("app", "f")


def packed(value: object) -> Payload:
    return Payload(content_type="application/msgpack", body=pack(value))


def answer(call: str, value: object, **fields: Any) -> Answer:
    return Answer(status=fields.pop("status", Status.OK), payload=packed(value), call=call, **fields)


class Site:
    """A caller, and somebody who sees where its answers go."""

    def __init__(self) -> None:
        self.portal = LoopThread()
        self.replies: list[str] = []
        self._sent = threading.Semaphore(0)
        self.portal.run(self._begin())

    async def _begin(self) -> None:
        broker = MemoryBroker()
        self.bus, self.theirs = MemoryBus(broker), MemoryBus(broker)
        for stream in streams(Subjects()):
            await self.bus.queues.ensure_stream(stream)
        link = Link(portal=self.portal, bus=self.bus, subjects=Subjects(), codecs=Codecs())
        self.link, self.board = link, Switchboard(link)
        await self.theirs.subscribe(Subjects().function(TARGET.app, TARGET.function), self._on_call)
        await self.theirs.subscribe(Subjects().jobs(TARGET.app, TARGET.function), self._on_job)

    def _on_call(self, message: Message) -> None:
        self._note(message.reply)

    def _on_job(self, message: Message) -> None:
        self._note(message.headers["Busfn-Reply"])

    def _note(self, reply: str) -> None:
        self.replies.append(reply)
        self._sent.release()

    def until_sent(self, messages: int) -> None:
        for _ in range(messages):
            assert self._sent.acquire(timeout=10)

    async def settled(self) -> None:
        await self.bus.flush()
        await self.theirs.flush()
        await self.bus.flush()

    def send(self, *answers: Answer, reply: str = "") -> None:
        async def send() -> None:
            await self.settled()
            for one in answers:
                self.theirs.publish(self.replies[-1], one.payload.body, one.headers(), reply)
            await self.settled()

        self.portal.run(send())


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.portal.stop()


def exchange(site: Site, call: str) -> Exchange:
    return Exchange(site.board, TARGET, Call(call=call, payload=packed([])), lambda target, took: None)


def test_an_answer_to_another_call_is_not_taken(site: Site):
    one = exchange(site, "c1")
    site.portal.call(one.begin)
    unreadable = Answer(status=Status.OK, payload=packed(1), call="c2").headers() | {"Busfn-Index": "x"}
    site.send(answer("c2", "forged"), answer("", "forged"), answer("c2", "x", status=Status.ERROR))
    site.portal.run(_publish(site, unreadable))
    assert not one.over
    site.send(answer("c1", "true"))
    assert one.wait()() == "true"


async def _publish(site: Site, headers: dict[str, str]) -> None:
    site.theirs.publish(site.replies[-1], b"", headers)
    await site.settled()


def test_an_answer_for_an_input_of_many_is_none_to_a_single_call(site: Site):
    one = exchange(site, "c1")
    site.portal.call(one.begin)
    site.send(answer("c1", ["a"], count=1))
    with pytest.raises(ProtocolError):
        one.wait()


def test_an_answer_beyond_the_calls_that_went_together_answers_none_of_them(site: Site):
    pair = [exchange(site, "c1"), exchange(site, "c2")]
    site.portal.call(JointCalls(site.board, TARGET, pair, lambda target, took: None).begin)
    site.send(answer("c1", 1, index=2, count=1_000_000), answer("c2", [1, 2], count=2))
    assert [one.over for one in pair] == [False, False]
    site.send(answer("c1", [1, 2], count=2))
    assert [one.wait()() for one in pair] == [1, 2]


def test_a_map_takes_only_answers_to_what_it_has_sent(site: Site):
    mapping = Mapping(site.link, TARGET, Call(call="c1", payload=packed([])), MapOptions(kwargs={}))
    results = mapping.iterate(iter([(1,), (2,)]))

    def worker() -> None:
        site.until_sent(2)
        site.send(
            answer("c2", "forged"),
            answer("c1", "x", status=Status.ERROR, count=1_000_000),
            answer("c1", "x", status=Status.ERROR, index=5),
            answer("c1", [1, 2, 3], count=3),
            answer("c1", ["a"], count=1),
            answer("c1", ["b"], count=1, index=1),
        )

    with ThreadPoolExecutor() as pool:
        answering = pool.submit(worker)
        assert list(results) == ["a", "b"]
        answering.result(10)


def test_a_generators_consumer_grants_credit_to_an_inbox_only(site: Site):
    heard: list[str] = []
    site.portal.run(site.theirs.subscribe("busfn.main.job.app.>", lambda message: heard.append(message.subject)))
    stream = Stream(site.board, TARGET, Call(call="c1", payload=packed([])))
    items = stream.iterate()

    def worker() -> None:
        site.until_sent(1)
        site.send(answer("c1", list(range(100)), status=Status.ITEM, count=100), reply="busfn.main.job.app.f.c9")
        site.send(Answer(status=Status.END, payload=packed(None), call="c1", count=100))

    with ThreadPoolExecutor() as pool:
        answering = pool.submit(worker)
        assert list(items) == list(range(100))
        answering.result(10)
    site.portal.run(site.settled())
    assert heard == []
