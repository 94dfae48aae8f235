"""Spawned calls that start later, or once only."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import durable
import pytest

from busfn import errors


def test_a_delayed_call_starts_after_its_delay(path: str) -> None:
    asked = time.time()
    call = durable.stamped.with_options(delay=0.5).spawn(path)
    assert call.get(timeout=30) >= asked + 0.5


def test_a_call_starts_at_its_moment(path: str) -> None:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.5)
    assert durable.stamped.with_options(at=moment).spawn(path).get(timeout=30) >= moment.timestamp() - 0.001


def test_inputs_of_a_delayed_spawn_map_wait_too(path: str) -> None:
    asked = time.time()
    call = durable.stamped.with_options(delay=0.3).spawn_map([path] * 3)
    assert min(call.iter()) >= asked + 0.3


def test_the_same_key_gives_the_same_call_which_runs_once(path: str) -> None:
    once = durable.stamped.with_options(idempotency_key=path)
    first = once.spawn(path)
    again = once.spawn(path)  # while it is queued or runs
    assert again.object_id == first.object_id
    result = first.get(timeout=30)
    later = once.spawn(path)  # after it has ended
    assert later.get(timeout=30) == result
    assert len(Path(path).read_text().splitlines()) == 1
    other = durable.stamped.with_options(idempotency_key=path + "2").spawn(path)
    assert other.object_id != first.object_id
    other.get(timeout=30)


def test_options_are_for_spawn_only_and_checked() -> None:
    delayed = durable.square.with_options(delay=1)
    for use in (lambda: delayed.remote(1), lambda: delayed.map([1]), lambda: delayed.for_each([1])):
        with pytest.raises(errors.InvalidError, match="spawn"):
            use()
    with pytest.raises(errors.InvalidError, match="either"):
        durable.square.with_options(delay=1, at=dt.datetime.now(dt.UTC))
    with pytest.raises(errors.InvalidError, match="delay"):
        durable.square.with_options(delay=-1)
    assert durable.square.with_options(delay=1).local(3) == 9
    assert durable.square.remote(3) == 9
