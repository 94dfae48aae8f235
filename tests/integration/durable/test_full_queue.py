"""Handing over to a queue that takes no more: it waits for room, and says so when none comes."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import durable
import pytest

from busfn import FunctionCall, errors
from busfn.binding import DEFAULT

MIB = 1 << 20


@pytest.fixture
def blocker(path: str) -> Iterator[FunctionCall[str]]:
    """A call that runs and, with one beside it, is all that an operator lets into the queue."""
    call = durable.held.spawn(path)
    while not Path(path + ".started").exists():
        time.sleep(0.01)
    limit_queue(2)
    yield call
    limit_queue(-1)
    Path(path).touch()
    call.get(timeout=30)


def limit_queue(messages: int) -> None:
    link = DEFAULT.require("a test").link
    stream, api = link.subjects.stream("JOBS"), link.bus.queues.api
    config = link.portal.run(api.call(f"STREAM.INFO.{stream}"))["config"]
    link.portal.run(api.call(f"STREAM.UPDATE.{stream}", {**config, "max_msgs": messages}))


def stored(kind: str) -> list[str]:
    link = DEFAULT.require("a test").link
    pattern = link.subjects.all_of({"JOBS": "job", "BLOB": "blob"}[kind])
    return link.portal.run(link.bus.queues.subjects(link.subjects.stream(kind), pattern))


@pytest.mark.parametrize("inputs", [100, 1500], ids=["all or none", "one by one"])
def test_what_finds_no_room_waits_for_it_and_runs_once(path: str, blocker: FunctionCall[str], inputs: int) -> None:
    with ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(durable.noted.spawn_map, [path + ".log"] * inputs, range(inputs))
        time.sleep(0.5)  # let it be refused a few times; it passes without that, too
        assert not accepted.done()
        Path(path).touch()
        call = accepted.result(timeout=60)
    assert list(call.iter()) == list(range(inputs))
    ran = Counter(Path(path + ".log").read_text().split())
    assert set(ran.values()) == {1}
    assert len(ran) == inputs


@pytest.mark.parametrize("inputs", [1, 100, 1500], ids=["spawn", "all or none", "one by one"])
def test_no_room_is_an_error_in_the_end(
    path: str, blocker: FunctionCall[str], inputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable.app.binding.require("the app").durable, "patience", 0.5)
    value, before = os.urandom(MIB), set(stored("BLOB"))
    queued = durable.held.spawn(path)  # behind the blocker: now the queue is full
    work = partial(durable.weighed.spawn, path, "good", value)
    if inputs > 1:
        work = partial(durable.weighed.spawn_map, [path] * inputs, ["good"] * inputs, kwargs={"value": value})
    with pytest.raises(errors.QueueFull, match=r"durable\.weighed: .*maximum messages exceeded.*Start more workers"):
        work()
    assert len(stored("JOBS")) == 2
    assert set(stored("BLOB")) <= before
    assert not Path(path).exists()
    queued.cancel()
