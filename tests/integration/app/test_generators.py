"""`remote_gen` against real workers."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import calls
import pytest

from busfn import errors


def test_items_of_sync_and_async_generators() -> None:
    assert list(calls.count.remote_gen(1000)) == list(range(1000))
    assert list(calls.acount.remote_gen(1000)) == list(range(1000))
    assert list(calls.count.remote_gen(0)) == []


def test_items_are_consumed_while_they_are_produced(folder: str) -> None:
    items = calls.steps.remote_gen(folder, 4)
    for i in range(4):
        assert next(items) == i  # the body waits for the file of the next item
        (Path(folder) / f"{i + 1}.go").touch()
    with pytest.raises(StopIteration):
        next(items)


def test_all_items_come_before_the_error() -> None:
    seen: list[int] = []
    items = calls.count_and_fail.remote_gen(700)
    seen.extend(itertools.islice(items, 700))
    with pytest.raises(calls.Custom, match="after the items"):
        next(items)
    assert seen == list(range(700))


def test_closing_closes_the_body(folder: str, eventually: Callable[[Callable[[], bool]], None]) -> None:
    items = calls.steps.remote_gen(folder, 1 << 30)
    assert next(items) == 0
    items.close()
    steps = itertools.count(1)

    def closed() -> bool:
        (Path(folder) / f"{next(steps)}.go").touch()  # the word that it is closed may come after the next item
        return (Path(folder) / "closed").exists()

    eventually(closed)


def test_a_slow_reader_stops_the_producer(folder: str) -> None:
    items = calls.eager.remote_gen(folder, 100_000)
    assert next(items) == 0
    reached = -1
    while (now := int((Path(folder) / "at").read_text() or 0)) != reached:  # until it moves no more
        reached = now
        calls.square.remote(1)
    assert reached < 2000
    assert next(items) == 1
    items.close()


def test_nothing_is_sent_before_the_first_item_is_asked_for(folder: str) -> None:
    calls.eager.remote_gen(folder, 1)
    calls.square.remote(1)
    assert not (Path(folder) / "at").exists()


def test_a_function_that_returns_an_iterator_can_be_declared_a_generator() -> None:
    assert list(calls.given.remote_gen()) == [1, 2, 3]


def test_remote_gen_on_a_plain_function_names_remote_when_iterated() -> None:
    items = calls.square.remote_gen(1)
    with pytest.raises(errors.InvalidError, match=r"square\.remote"):
        next(items)


def test_large_items() -> None:
    async def main() -> list[int]:
        return [len(item) async for item in calls.blocks.remote_gen.aio(5, 2_000_000)]

    assert asyncio.run(main()) == [2_000_000] * 5


def test_aio() -> None:
    async def main() -> list[int]:
        return [item async for item in calls.count.remote_gen.aio(1000)]

    assert asyncio.run(main()) == list(range(1000))


def test_generators_side_by_side() -> None:
    first, second = calls.count.remote_gen(600), calls.acount.remote_gen(600)
    assert [a + b for a, b in zip(first, second, strict=True)] == [2 * i for i in range(600)]


def test_a_worker_lost_in_the_middle_is_an_error_and_no_repetition() -> None:
    items = calls.pid_then_wait.remote_gen()
    pid = next(items)
    os.kill(pid, 9)
    with pytest.raises(errors.InternalFailure, match="lost"):
        next(items)
