"""`map`, `starmap` and `for_each` against real workers."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import calls
import pytest

from busfn import errors


def test_ten_thousand_results_come_in_order() -> None:
    assert list(calls.square.map(range(10_000))) == [i * i for i in range(10_000)]


def test_unordered_results_are_all_there() -> None:
    assert sorted(calls.square.map(range(500), order_outputs=False)) == [i * i for i in range(500)]


def test_several_iterators_are_zipped_to_the_shortest() -> None:
    assert list(calls.keywords.map([1, 2, 3], [4, 5])) == [[1, [4], 2, {}], [2, [5], 2, {}]]


def test_kwargs_go_with_every_input() -> None:
    assert list(calls.keywords.map([1, 2], kwargs={"b": 7})) == [[1, [], 7, {}], [2, [], 7, {}]]


def test_starmap_unpacks_rows_of_any_length() -> None:
    assert list(calls.keywords.starmap([(1,), (1, 2), [1, 2, 3]])) == [
        [1, [], 2, {}],
        [1, [2], 2, {}],
        [1, [2, 3], 2, {}],
    ]


def test_an_empty_map_is_over_at_once() -> None:
    assert list(calls.square.map([])) == []


def test_none_is_a_result() -> None:
    assert list(calls.identity.map([None, 1, None])) == [None, 1, None]


def test_async_bodies_are_mapped() -> None:
    assert list(calls.asquare.map(range(300))) == [i * i for i in range(300)]


def test_large_inputs_and_results_are_mapped() -> None:
    blocks = [bytes([i]) * 1_500_000 for i in range(4)]
    assert list(calls.identity.map(blocks)) == blocks


def test_values_that_need_a_pickle_are_mapped() -> None:
    results = list(calls.opaque.map([calls.Opaque(i) for i in range(20)]))
    assert [(same, back.value) for same, back in results] == [(True, i + 1) for i in range(20)]


def test_one_map_feeds_another() -> None:
    assert list(calls.square.map(calls.square.map(range(100)))) == [i**4 for i in range(100)]


def test_maps_run_side_by_side_in_threads() -> None:
    results: dict[int, list[int]] = {}
    threads = [
        threading.Thread(target=lambda n=n: results.update({n: list(calls.square.map(range(n)))})) for n in (50, 500)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: [i * i for i in range(n)] for n in (50, 500)}


def test_earlier_results_come_before_a_failure() -> None:
    seen: list[int] = []
    results = iter(calls.fail_on.map(range(10), kwargs={"bad": 5}))
    for _ in range(5):
        seen.append(next(results))
    with pytest.raises(calls.Custom, match="5 is bad"):
        next(results)
    assert seen == [0, 1, 2, 3, 4]


def test_failures_can_be_results() -> None:
    results = list(calls.fail_on.map(range(200), kwargs={"bad": 150}, return_exceptions=True))
    assert [r for r in results if not isinstance(r, Exception)] == [i for i in range(200) if i != 150]
    assert isinstance(results[150], calls.Custom)
    assert results[150].detail == "150"


def test_inputs_are_pulled_no_further_ahead_than_the_window() -> None:
    pulled = 0

    def endless() -> Iterator[int]:
        nonlocal pulled
        while True:
            pulled += 1
            yield pulled

    results = iter(calls.nap.map(endless_naps(endless())))
    next(results)
    assert pulled <= 200
    results.close()  # type: ignore[attr-defined]


def endless_naps(numbers: Iterator[int]) -> Iterator[float]:
    for _ in numbers:
        yield 0.02


def test_inputs_are_pulled_on_the_callers_thread() -> None:
    threads: set[int] = set()

    def inputs() -> Iterator[int]:
        for i in range(100):
            threads.add(threading.get_ident())
            yield i

    assert sum(calls.square.map(inputs())) == sum(i * i for i in range(100))
    assert threads == {threading.get_ident()}


def test_results_come_while_inputs_are_still_made() -> None:
    async def main() -> list[int]:
        results = []
        async for result in calls.square.map.aio(slow()):
            results.append(result)
            arrived.set()
        return results

    async def slow() -> AsyncIterator[int]:
        for i in range(5):
            yield i
            await arrived.wait()
            arrived.clear()

    arrived = asyncio.Event()
    assert asyncio.run(asyncio.wait_for(main(), 30)) == [0, 1, 4, 9, 16]


def test_an_error_of_the_input_iterator_comes_through() -> None:
    def inputs() -> Iterator[int]:
        yield 1
        raise OSError("the input broke")

    with pytest.raises(OSError, match="the input broke"):
        list(calls.square.map(inputs()))


def test_leaving_early_cancels_what_was_not_started(folder: str) -> None:
    results = iter(calls.marked.starmap((folder, i) for i in range(100_000)))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert calls.square.remote(2) == 4
    calls.marked.remote(folder, -1)  # queued behind nothing: the rest of the map is gone
    assert len(list(Path(folder).iterdir())) < 5000


def test_aio_maps_sync_and_async_iterables() -> None:
    async def numbers() -> AsyncIterator[int]:
        for i in range(100):
            yield i

    async def main() -> tuple[list[int], list[int]]:
        return (
            [x async for x in calls.square.map.aio(numbers())],
            [x async for x in calls.square.map.aio(range(100))],
        )

    squares = [i * i for i in range(100)]
    assert asyncio.run(main()) == (squares, squares)


def test_a_blocking_map_inside_a_loop_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(errors.InvalidError, match=r"map\.aio"):
            list(calls.square.map(range(3)))

    asyncio.run(main())


def test_a_map_can_be_iterated_once() -> None:
    results = calls.square.map(range(3))
    assert list(results) == [0, 1, 4]
    assert list(results) == []


def test_a_map_nobody_consumes_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "busfn"):
        calls.square.map([1])
        gc.collect()
    assert "not consumed" in caplog.text
    assert "never be executed" in caplog.text


@pytest.mark.parametrize("inputs", [(), (3,)])
def test_a_map_needs_iterables(inputs: tuple[int, ...]) -> None:
    with pytest.raises((errors.InvalidError, TypeError)):
        calls.square.map(*inputs)  # type: ignore[arg-type]


def test_a_map_of_a_generator_function_is_refused_when_iterated() -> None:
    results = calls.count.map([1])
    with pytest.raises(errors.InvalidError, match="remote_gen"):
        list(results)


def test_for_each_runs_everything(folder: str) -> None:
    assert calls.marked.for_each([folder] * 30, range(30)) is None
    assert len(list(Path(folder).iterdir())) == 30


def test_for_each_raises_the_first_failure_or_ignores_them() -> None:
    with pytest.raises(calls.Custom):
        calls.fail_on.for_each(range(5), kwargs={"bad": 3})
    calls.fail_on.for_each(range(5), kwargs={"bad": 3}, ignore_exceptions=True)


def test_for_each_aio() -> None:
    asyncio.run(calls.square.for_each.aio(range(10)))


def test_an_input_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(errors.SerializationError, match="lock"):
        list(calls.identity.map([1, threading.Lock()]))
    assert calls.square.remote(3) == 9
