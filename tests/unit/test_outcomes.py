"""Who has stored a result first, on a bus in memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from busfn.bus.base import Outgoing
from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.config import BusAddress
from busfn.invoke.payloads import SPILL, fetch
from busfn.protocol.codecs import MSGPACK, Codecs, Payload
from busfn.protocol.envelope import Answer, Call, Status, read_answer
from busfn.protocol.subjects import Subjects
from busfn.spec import FunctionSpec
from busfn.streams import streams
from busfn_services.outcomes import Outcomes
from busfn_services.supervisor.context import HostContext

pytestmark = pytest.mark.anyio

SUBJECTS = Subjects()
SPEC = FunctionSpec(app="app", name="f", source={"kind": "module", "target": "m"}, qualname="f")
CALL = Call(call="c1", payload=Payload(content_type="", body=b""))
SMALL, LARGE = b"small", bytes(2 * SPILL)


@pytest.fixture
async def bus(anyio_backend: object) -> MemoryBus:
    bus = MemoryBus(MemoryBroker())
    for stream in streams(SUBJECTS):
        await bus.queues.ensure_stream(stream)
    return bus


@pytest.fixture
def outcomes(bus: MemoryBus) -> Outcomes:
    return Outcomes(HostContext(bus=bus, subjects=SUBJECTS, codecs=Codecs(), address=BusAddress(servers=())), SPEC)


@pytest.fixture
def deaf(bus: MemoryBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the bus says of the first attempt to store something comes too late, so it is made again."""
    store = bus.queues.enqueue_each

    async def store_twice(messages: Sequence[Outgoing], *, timeout: float = 15.0) -> list[int]:
        await store(messages, timeout=timeout)
        return await store(messages, timeout=timeout)

    monkeypatch.setattr(bus.queues, "enqueue_each", store_twice)


def result(body: bytes, worker: str = "w1") -> Answer:
    return Answer(status=Status.OK, payload=Payload(content_type=MSGPACK, body=body), call="c1", worker=worker)


async def kept(bus: MemoryBus) -> Answer:
    """The result that a caller gets."""
    message = await bus.queues.latest(SUBJECTS.stream("RES"), SUBJECTS.result("app", "f", "c1", 0))
    assert message is not None
    answer = read_answer(message.headers, message.body)
    return answer.copy(payload=await fetch(bus, answer.payload))


@pytest.mark.parametrize("body", [SMALL, LARGE])
async def test_a_result_that_was_stored_without_a_word_is_ours(
    bus: MemoryBus, outcomes: Outcomes, deaf: None, body: bytes, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        await outcomes.store(CALL, result(body))
    assert (await kept(bus)).payload.body == body
    assert caplog.messages == []


@pytest.mark.parametrize("body", [SMALL, LARGE])
async def test_the_first_of_two_workers_counts_and_is_left_whole(
    bus: MemoryBus, outcomes: Outcomes, body: bytes, caplog: pytest.LogCaptureFixture
):
    await outcomes.store(CALL, result(body, "w1"))
    await outcomes.store(CALL, result(body, "w2"))
    answer = await kept(bus)
    assert (answer.worker, answer.payload.body) == ("w1", body)
    [warning] = caplog.messages
    assert "app.f, call c1, input 0 ran twice" in warning


async def test_what_came_second_leaves_nothing_on_the_bus(bus: MemoryBus, outcomes: Outcomes):
    await outcomes.store(CALL, result(SMALL, "w1"))
    await outcomes.store(CALL, result(LARGE, "w2"))
    assert bus.broker.shelf.names("blob") == []
