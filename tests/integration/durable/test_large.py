"""Large arguments and results of durable calls: stored once, removed when nobody needs them, within bounded memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import durable
import pytest

from busfn import FunctionCall, errors

MIB = 1 << 20


def contents() -> set[str]:
    """The names of what the blob store holds now."""
    link = durable.app.binding.require("the app").link
    stored = link.portal.run(link.bus.queues.subjects(link.subjects.stream("BLOB"), link.subjects.all_of("blob")))
    return {subject.split(".")[3] for subject in stored}


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_large_keyword_arguments_of_a_map_are_stored_once() -> None:
    before = contents()
    shared = os.urandom(MIB)
    call = durable.with_shared.spawn_map(range(300), kwargs={"shared": shared})
    assert len(contents() - before) == 1
    assert list(call.iter()) == [(i, MIB) for i in range(300)]


def test_the_arguments_of_a_call_that_ended_well_are_removed(path: str) -> None:
    before, value = contents(), os.urandom(MIB)
    call = durable.with_shared.spawn(1, value)
    assert call.get(timeout=30) == (1, MIB)
    wait_for(lambda: contents() == before, "the arguments stay")


def test_arguments_stay_as_long_as_another_call_needs_them(path: str) -> None:
    before, value = contents(), os.urandom(MIB)
    blocker = durable.held.spawn(path)
    wait_for(Path(path + ".started").exists, "the blocker does not start")
    first, second = durable.identity.spawn(value), durable.identity.spawn(value)
    assert first.get(timeout=30) == value
    assert second.get(timeout=30) == value
    wait_for(lambda: len(contents() - before) == 1, "more than the result is kept, which is the same for both")
    assert first.get(timeout=30) == value
    Path(path).touch()
    blocker.get(timeout=30)


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
