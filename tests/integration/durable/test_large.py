"""Large arguments and results of durable calls: stored once, removed when nobody needs them, within bounded memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import durable
import pytest

from busfn import FunctionCall, errors
from busfn.binding import DEFAULT
from busfn.invoke.deadletters import Filter

MIB = 1 << 20


def contents() -> set[str]:
    """The names of what the blob store holds now."""
    link = durable.app.binding.require("the app").link
    stored = link.portal.run(link.bus.queues.subjects(link.subjects.stream("BLOB"), link.subjects.all_of("blob")))
    return {subject.split(".")[3] for subject in stored}


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60  # a worker that is killed while it removes something is waited for, 30 s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_large_keyword_arguments_of_a_map_are_stored_once(path: str) -> None:
    before, shared = contents(), os.urandom(MIB)
    blocker = durable.weighed.spawn_map([path, path + "2"], ["wait"] * 2, kwargs={"value": b""})
    wait_for(lambda: all(Path(f"{one}.wait.started").exists() for one in (path, path + "2")), "no blocker starts")
    call = durable.weighed.spawn_map([path] * 300, ["good"] * 300, kwargs={"value": shared})
    assert len(contents() - before) == 1
    for one in (path, path + "2"):
        Path(one + ".wait").touch()
    assert list(call.iter()) == [MIB] * 300
    assert list(blocker.iter()) == [0, 0]
    wait_for(lambda: not contents() - before, "the arguments stay")


@pytest.mark.parametrize("apart", [False, True], ids=["shared by all inputs", "of each input"])
def test_arguments_go_however_their_inputs_came_to_an_end(path: str, apart: bool) -> None:
    """Slow chunks are given back, failures tried again, and workers lost: each makes further messages."""
    before = contents()
    hows = ["slow", "good", "flaky", "slow", "kill", "good", "slow", "slow", "good"]
    if apart:
        call = durable.weighed.spawn_map([path] * 9, hows, [os.urandom(MIB) for _ in hows])
    else:
        call = durable.weighed.spawn_map([path] * 9, hows, kwargs={"value": os.urandom(MIB)})
    assert [call.get(index=index, timeout=60) for index in range(9)] == [MIB] * 9
    wait_for(lambda: not contents() - before, "the arguments stay")


def drop_or_retry(call: FunctionCall[Any], index: int, *, retry: bool = False) -> None:
    client = DEFAULT.require("a test")
    wanted = Filter(call=call.object_id.rpartition(".")[2])
    [letter] = [one for one in client.link.portal.run(client.dead.find(wanted)) if one.index == index]
    client.link.portal.run(client.dead.retry(letter) if retry else client.dead.drop(letter))


def fail(call: FunctionCall[Any], *indexes: int) -> None:
    for index in indexes:
        with pytest.raises(ValueError, match="not fixed"):
            call.get(index=index, timeout=60)


def test_arguments_stay_as_long_as_a_dead_letter_needs_them(path: str) -> None:
    before = contents()
    call = durable.weighed.spawn_map([path] * 3, ["raise", "good", "raise"], kwargs={"value": os.urandom(MIB)})
    fail(call, 0, 2)
    assert call.get(index=1, timeout=30) == MIB
    drop_or_retry(call, 0)
    call.cancel()  # too late for anything
    assert len(contents() - before) == 1
    Path(path + ".fixed").touch()
    drop_or_retry(call, 2, retry=True)
    assert call.get(index=2, timeout=60) == MIB
    wait_for(lambda: not contents() - before, "the arguments stay")


def test_arguments_go_with_the_last_dead_letter(path: str) -> None:
    before = contents()
    call = durable.weighed.spawn(path, "raise", os.urandom(MIB))
    fail(call, 0)
    drop_or_retry(call, 0, retry=True)
    fail(call, 0)
    assert len(contents() - before) == 1
    drop_or_retry(call, 0)
    wait_for(lambda: not contents() - before, "the arguments stay")


def test_arguments_go_with_a_cancelled_call(path: str) -> None:
    before = contents()
    shared = durable.weighed.spawn_map([path] * 200, ["wait"] * 200, kwargs={"value": os.urandom(MIB)})
    apart = durable.weighed.spawn_map([path] * 9, ["wait"] * 9, [os.urandom(MIB) for _ in range(9)])
    wait_for(Path(path + ".wait.started").exists, "nothing starts")
    assert len(contents() - before) == 2
    for call in (shared, apart):
        call.cancel()
        with pytest.raises(errors.RemoteError, match="cancelled"):
            call.get(timeout=30)
    wait_for(lambda: not contents() - before, "the arguments stay")


def last_start(path: str) -> tuple[str, int]:
    """The input that was started last, and its process."""
    lines = Path(path).read_text().splitlines() if Path(path).exists() else []
    started = [line.split() for line in lines if line.startswith("start")]
    return (started[-1][1], int(started[-1][2])) if started else ("", 0)


def test_killed_workers_and_cancelled_calls_leave_no_arguments(path: str) -> None:
    before, value = contents(), os.urandom(MIB)
    shared = durable.dying.spawn_map([path] * 150, range(150), kwargs={"ballast": value})
    apart = durable.dying.spawn_map([path] * 6, range(150, 156), [os.urandom(MIB) for _ in range(6)])
    single = durable.dying.spawn(path, 156, os.urandom(MIB))
    unwanted = durable.dying.spawn_map([path] * 150, range(200, 350), kwargs={"ballast": value})
    killed = {""}
    while len(killed) < 6:  # each input once: three times would be its end
        wait_for(lambda: last_start(path)[0] not in killed, "nothing is started")
        x, pid = last_start(path)
        with suppress(ProcessLookupError):
            os.kill(pid, 9)
        killed.add(x)
    unwanted.cancel()
    assert [shared.get(index=index, timeout=60) for index in range(150)] == list(range(150))
    assert [apart.get(index=index, timeout=60) for index in range(6)] == list(range(150, 156))
    assert single.get(timeout=60) == 156
    wait_for(lambda: not contents() - before, "the arguments stay")


def test_a_map_that_is_left_leaves_no_arguments(path: str) -> None:
    before = contents()
    results = iter(durable.weighed.map([path] * 40, ["slow"] * 40, kwargs={"value": os.urandom(MIB)}))
    assert next(results) == MIB
    del results
    wait_for(lambda: not contents() - before, "the arguments stay")


def test_so_does_one_that_is_left_while_it_sends(path: str) -> None:
    before = contents()
    values = [os.urandom(4 * MIB) for _ in range(24)]
    results = iter(durable.weighed.map([path] * 24, ["good"] * 24, values))
    assert next(results) == 4 * MIB
    del results
    wait_for(lambda: not contents() - before, "the arguments stay")


def test_arguments_stay_as_long_as_another_call_needs_them(path: str) -> None:
    before, value = contents(), os.urandom(5 * MIB)
    first, second = durable.held.spawn(path, value), durable.held.spawn(path, value)  # one worker: one by one
    wait_for(Path(path + ".started").exists, "the first does not start")
    assert len(contents() - before) == 1
    Path(path).touch()
    assert first.get(timeout=30) == "done"
    assert second.get(timeout=30) == "done"
    wait_for(lambda: not contents() - before, "the arguments stay")


def test_reading_large_results_takes_a_few_at_a_time() -> None:
    call = durable.noise.spawn_map([2 * MIB] * 60)
    call.get(index=59, timeout=60)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what it is now
    before = durable.peak_memory()
    assert sum(len(value) for value in call.iter()) == 120 * MIB
    assert durable.peak_memory() - before < 60 * MIB


def test_a_missing_chunk_fails_the_call_and_hangs_nothing(path: str) -> None:
    before = contents()
    call = durable.identity.spawn(os.urandom(2 * MIB))
    call.get(timeout=30)
    wait_for(lambda: len(contents() - before) == 1, "the arguments stay")
    link = durable.app.binding.require("the app").link
    [name] = contents() - before
    link.portal.run(link.bus.queues.purge(link.subjects.stream("BLOB"), f"{link.subjects.blob_prefix}.{name}.1"))
    with pytest.raises(errors.DeserializationError, match="not complete"):
        FunctionCall.from_id(call.object_id).get(timeout=30)


def test_a_hundred_mebibytes_cost_each_side_three_times_as_much_at_most() -> None:
    _, idle = durable.size_and_peak.spawn(b"").get(timeout=30)
    value = os.urandom(MIB) * 100
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what it is now
    before = durable.peak_memory()
    size, peak = durable.size_and_peak.spawn(value).get(timeout=120)
    ours, theirs = durable.peak_memory() - before + len(value), peak - idle
    assert size == len(value)
    assert max(ours, theirs) < 3.3 * len(value), (ours // MIB, theirs // MIB)
