"""Results that are hard to store or to wait for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import durable
import pytest

from busfn import FunctionCall, errors
from busfn.binding import DEFAULT
from busfn.invoke.deadletters import Filter
from busfn.protocol.codecs import Payload
from busfn.protocol.envelope import Answer, Status


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def edit_results(**changes: object) -> None:
    """As an operator may do it to the stream of results."""
    link = DEFAULT.require("a test").link
    stream, api = link.subjects.stream("RES"), link.bus.queues.api
    config = link.portal.run(api.call(f"STREAM.INFO.{stream}"))["config"]
    link.portal.run(api.call(f"STREAM.UPDATE.{stream}", {**config, **changes}))


def test_a_result_that_finds_no_room_is_stored_when_there_is(path: str) -> None:
    durable.square.spawn(1).get(timeout=30)
    edit_results(max_bytes=1)  # less than there is: everything is refused
    try:
        call = durable.logged.spawn(path, 7)
        until(lambda: Path(path).exists() and len(Path(path).read_text().split()) >= 2)  # it was run again
        with pytest.raises(TimeoutError):
            call.get(timeout=0.1)
    finally:
        edit_results(max_bytes=-1)
    assert call.get(timeout=30) == 7


@pytest.fixture
def never_pushed() -> Iterator[None]:
    """Results are stored, and nobody is told: as when a server dies between the two."""
    link = DEFAULT.require("a test").link
    config = link.portal.run(link.bus.queues.api.call(f"STREAM.INFO.{link.subjects.stream('RES')}"))["config"]
    edit_results(republish=None)
    yield
    edit_results(republish=config["republish"])


@pytest.mark.usefixtures("never_pushed")
def test_a_result_that_was_never_pushed_is_found(path: str) -> None:
    call = durable.held.spawn(path)
    until(Path(path + ".started").exists)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(call.get, 20)
        with pytest.raises(TimeoutError):
            call.get(timeout=0.3)
        Path(path).touch()
        assert waiting.result() == "done"


def store_result(call: FunctionCall[Any], value: int) -> None:
    """As another worker would that has lost its lease, but was first."""
    link = DEFAULT.require("a test").link
    token = call.object_id.rpartition(".")[2]
    answer = Answer(status=Status.OK, payload=Payload(content_type="", body=b""), call=token)
    stored = answer.copy(payload=link.codecs.encode(value, scope=answer.scope(), what="result"))
    subject = link.subjects.result("durable", call.ref.target.function, token, 0)
    link.portal.run(link.bus.queues.enqueue(subject, stored.payload.body, stored.headers()))


def test_a_failure_that_comes_second_to_a_success_leaves_no_trace(path: str) -> None:
    call = durable.fails_late.spawn(path)
    until(Path(path + ".started").exists)
    store_result(call, 5)
    Path(path).touch()
    client = DEFAULT.require("a test")
    jobs = client.link.subjects.stream("JOBS")
    subject = client.link.subjects.job("durable", "fails_late", call.object_id.rpartition(".")[2])
    until(lambda: client.link.portal.run(client.link.bus.queues.latest(jobs, subject)) is None)
    assert call.get(timeout=30) == 5
    assert client.link.portal.run(client.dead.find(Filter(function="fails_late"))) == []


def test_a_result_larger_than_a_message_is_kept(path: str) -> None:
    value = bytes(3 << 20)
    call = durable.identity.spawn(value)
    assert call.get(timeout=30) == value
    assert FunctionCall.from_id(call.object_id).get() == value


def test_an_unknown_call_is_an_error_at_once() -> None:
    with pytest.raises(errors.OutputExpiredError, match="never was such a call"):
        FunctionCall.from_id("durable.square.0123").get()


def test_a_result_does_not_wait_for_the_next_input_of_its_message(path: str) -> None:
    call = durable.weighed.spawn_map([path] * 2, ["good", "wait"], kwargs={"value": b""})
    try:
        assert call.get(index=0, timeout=30) == 0
        assert not Path(path + ".wait").exists()
    finally:
        Path(path + ".wait").touch()
    assert call.get(index=1, timeout=30) == 0
