"""Somebody takes the calls of workers that ask for it, and tells them so, as long as they need it; on a memory bus."""

from __future__ import annotations

import asyncio

import pytest

from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.config import BusAddress
from busfn.errors import NoResponders
from busfn.protocol.codecs import Codecs
from busfn.protocol.control import Cover
from busfn.protocol.envelope import Status, read_answer
from busfn.protocol.subjects import Subjects
from busfn.spec import FunctionSpec
from busfn.streams import streams
from busfn_services.controller import activator as module
from busfn_services.controller.standins import StandIns
from busfn_services.supervisor.context import HostContext

pytestmark = pytest.mark.anyio

SUBJECTS = Subjects()
SPECS = [FunctionSpec(app="app", name=name, source={}, qualname=name) for name in ("f", "g")]
CALL = {"Busfn-Protocol": "1", "Busfn-Call": "c1"}


class Site:
    """Stand-ins for two functions without workers, and what somebody else sees of them."""

    def __init__(self) -> None:
        broker = MemoryBroker()
        self.other = MemoryBus(broker)
        self.context = HostContext(
            bus=MemoryBus(broker), subjects=SUBJECTS, codecs=Codecs(), address=BusAddress(servers=())
        )
        self.stand_ins = StandIns(self.context, SPECS)
        self.words: dict[str, list[bytes]] = {"f": [], "g": []}

    async def begin(self) -> None:
        for stream in streams(SUBJECTS):
            await self.other.queues.ensure_stream(stream)
        for name, words in self.words.items():
            await self.other.subscribe(
                SUBJECTS.cover("app", name), lambda message, words=words: words.append(message.body)
            )

    async def ask(self, function: str) -> None:
        self.other.publish(SUBJECTS.question("cover", "app"), function.encode())
        await self.other.flush()

    async def queued(self, function: str) -> bool:
        """Whether a call is taken, and queued."""
        try:
            reply = await self.other.request(SUBJECTS.function("app", function), b"", CALL)
        except NoResponders:
            return False
        answer = read_answer(reply.headers, reply.body)
        assert (answer.status, answer.sequence > 0) == (Status.BEAT, True)
        return True

    async def until(self, function: str, taken: bool) -> None:
        async with asyncio.timeout(10):
            while await self.queued(function) is not taken:
                await asyncio.sleep(0.001)


@pytest.fixture
async def site(anyio_backend: object):
    site = Site()
    await site.begin()
    return site


async def test_nobody_takes_calls_before_somebody_asks_for_it(site: Site):
    async with site.stand_ins:
        assert not await site.queued("f")


async def test_calls_of_the_function_that_is_asked_for_are_queued_and_its_workers_told(site: Site):
    async with site.stand_ins:
        await site.ask("f")
        await site.until("f", taken=True)
        assert not await site.queued("g")
    assert site.words["f"][0] == Cover.STANDS.value
    assert site.words["g"] == []


async def test_it_says_so_again_and_again_until_it_is_over_and_leaves_after_the_workers_are_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "COVER_FOR", 1.0)
    monkeypatch.setattr(module, "COVER_EVERY", 0.01)
    monkeypatch.setattr(module, "COVER_MARGIN", 1.0)
    async with site.stand_ins:
        await site.ask("f")
        async with asyncio.timeout(10):
            while site.words["f"][-1:] != [Cover.OVER.value]:
                await asyncio.sleep(0.001)
        assert await site.queued("f")
        await site.until("f", taken=False)
    assert len(site.words["f"]) > 3
    assert site.words["f"].count(Cover.OVER.value) == 1
    await site.ask("f")
    assert not await site.queued("f")


async def test_a_call_that_lay_unread_is_not_queued_and_goes_back(site: Site, monkeypatch: pytest.MonkeyPatch):
    """Its caller may have sent it again, and knows whether it has."""
    async with site.stand_ins:
        await site.ask("f")
        await site.until("f", taken=True)
        monkeypatch.setattr(module, "RESENT_AFTER", 0.0)
        reply = await site.other.request(SUBJECTS.function("app", "f"), b"", CALL)
        assert read_answer(reply.headers, reply.body).status is Status.UNREAD


async def test_when_it_ends_workers_are_told_and_calls_taken_no_more(site: Site):
    async with site.stand_ins:
        await site.ask("f")
        await site.until("f", taken=True)
    await site.other.flush()
    assert site.words["f"][-1] == Cover.OVER.value
    assert not await site.queued("f")


async def test_a_question_for_what_is_not_served_is_nothing(site: Site):
    async with site.stand_ins:
        await site.ask("h")
        await site.ask("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"))
        assert not await site.queued("f")
