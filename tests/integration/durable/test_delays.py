"""Calls that are not due keep no worker, run on time from none, and are calls like all others meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import delayed
import pytest

import busfn
from busfn import errors
from busfn.binding import DEFAULT
from busfn.invoke.durable import CallRef
from busfn.protocol.codecs import MSGPACK, Payload
from busfn.protocol.codecs.msgpack import pack
from busfn.protocol.envelope import Call

LATE = 1.5
"""Seconds that a busy machine may be late."""


@pytest.fixture(scope="module", autouse=True)
def serving(running: None) -> Iterator[None]:
    with delayed.app.run():
        yield


def workers(function: busfn.Function) -> int:
    return function.get_current_stats().num_total_runners


def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def times(path: str) -> list[float]:
    return [float(line) for line in Path(path).read_text().splitlines()]


def test_delayed_call(path: str) -> None:
    until(lambda: workers(delayed.later) == 0)
    asked = time.time()
    call = delayed.later.with_options(delay=4.0).spawn(path)
    while time.time() < asked + 2.5:
        assert workers(delayed.later) == 0
    assert call.get(timeout=30) == 1
    assert 4.0 <= times(path)[0] - asked < 4.0 + LATE
    until(lambda: workers(delayed.later) == 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda path: delayed.flaky.remote(path),
        lambda path: delayed.flaky.spawn(path).get(),
        lambda path: next(iter(delayed.flaky.map([path]))),
        lambda path: delayed.flaky.spawn_map([path]).get(),
    ],
    ids=["remote", "spawn", "map", "spawn_map"],
)
def test_a_retry_that_waits_keeps_no_worker(
    call: Callable[[str], int], path: str, threads: Callable[..., Callable[[], int]]
) -> None:
    result = threads(call, path)
    until(Path(path).exists)
    until(lambda: workers(delayed.flaky) == 0, timeout=2.0)  # long before it is tried again
    assert result() == 2
    first, second = times(path)
    assert delayed.PAUSE <= second - first < delayed.PAUSE + LATE


@pytest.fixture
def threads() -> Iterator[Callable[..., Callable[[], int]]]:
    with ThreadPoolExecutor() as pool:
        yield lambda function, *args: pool.submit(function, *args).result


def test_all_inputs_of_a_delayed_spawn_map_wait(folder: Path) -> None:
    paths = [str(folder / str(number)) for number in range(200)]
    asked = time.time()
    call = delayed.later.with_options(delay=3.0).spawn_map(paths)
    assert call.num_inputs() == 200
    assert list(call.iter()) == [1] * 200
    assert min(times(path)[0] for path in paths) >= asked + 3.0


@pytest.fixture
def folder(path: str) -> Path:
    made = Path(path)
    made.mkdir()
    return made


def test_a_call_that_waits_for_its_time_is_open(path: str) -> None:
    client = DEFAULT.require("a test")
    call = delayed.later.with_options(delay=60.0).spawn(path)
    with pytest.raises(TimeoutError):
        call.get(timeout=0)
    [info] = call.get_call_graph()
    assert info.status.name == "PENDING"
    [summary] = client.link.portal.run(client.graphs.calls("delayed", "later", 1))
    assert (summary.id, summary.state) == (call.object_id, "queued")
    call.cancel()


def test_a_call_that_waits_for_its_time_can_be_cancelled(path: str) -> None:
    soon = delayed.later.with_options(delay=2.5).spawn(path)
    soon.cancel()
    with pytest.raises(errors.RemoteError, match="cancelled"):
        soon.get(timeout=10)
    with pytest.raises(errors.RemoteError, match="cancelled"):
        busfn.FunctionCall.from_id(soon.object_id).get(timeout=10)
    other = delayed.later.with_options(delay=3.0).spawn(f"{path}2")
    assert other.get(timeout=30) == 1
    assert not Path(path).exists()


def test_the_same_key_gives_the_same_call_also_while_it_waits(path: str) -> None:
    once = delayed.later.with_options(delay=2.5, idempotency_key=path)
    assert once.spawn(path).object_id == once.spawn(path).object_id
    assert once.spawn(path).get(timeout=30) == 1
    assert len(times(path)) == 1


def test_a_queued_message_that_is_not_due_for_long_is_put_off(path: str) -> None:
    """Written into the queue itself, as other programs may do."""
    client = DEFAULT.require("a test")
    link, asked = client.link, time.time()
    payload = Payload(content_type=MSGPACK, body=pack([path]))
    call = Call(call=link.ids(), payload=payload, not_before=int((asked + 4.0) * 1000))
    subject = link.subjects.job("delayed", "later", call.call)
    link.portal.run(link.bus.queues.enqueue(subject, payload.body, call.headers()))
    stored = link.subjects.delayed("delayed", "later", call.call, "*")
    until(lambda: link.portal.run(link.bus.queues.subjects(link.subjects.stream("DELAYED"), stored)) != [])
    until(lambda: workers(delayed.later) == 0, timeout=2.0)
    found = busfn.FunctionCall.from_id(str(CallRef.parse(f"delayed.later.{call.call}")))
    assert found.get(timeout=30) == 1
    assert 4.0 <= times(path)[0] - asked < 4.0 + LATE
