"""Inputs notice nothing of one another: values, failures and contexts are each input's own, however they are called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import calls
import pytest

from busfn import Function, errors

INPUTS = 500


def expected(n: int) -> dict[str, Any]:
    return {"total": n * 100, "parts": [n, [n]]}


@pytest.mark.parametrize("function", [calls.summary, calls.asummary], ids=["sync", "async"])
def test_reused_result_is_sent_as_it_was_when_the_body_returned(function: Function[[int], Any, Any]) -> None:
    right = [expected(n) for n in range(INPUTS)]
    assert list(function.map(range(INPUTS))) == right
    assert list(function.spawn_map(range(INPUTS)).iter()) == right
    assert [function.remote(n) for n in range(5)] == right[:5]


def test_reused_items_of_a_generator_are_sent_as_they_were() -> None:
    assert list(calls.summaries.remote_gen(INPUTS)) == [expected(n) for n in range(INPUTS)]


def test_reused_results_of_calls_that_are_made_together() -> None:
    async def main() -> None:
        for _ in range(3):
            assert await asyncio.gather(*(calls.summary.remote.aio(n) for n in range(100))) == [
                expected(n) for n in range(100)
            ]

    asyncio.run(main())


def test_reused_results_that_are_pickled_are_sent_as_they_were() -> None:
    results = list(calls.opaque_summary.map(range(INPUTS)))
    assert [result.value for result in results] == list(range(INPUTS))
    assert len(set(map(id, results))) == INPUTS


def test_reused_attributes_of_failures_are_sent_as_they_were() -> None:
    failures = list(calls.refused_summary.map(range(100), return_exceptions=True))
    assert [failure.detail for failure in failures] == [expected(n) for n in range(100)]


def reused() -> Iterator[list[Any]]:
    """The same list each time."""
    row: list[Any] = []
    for n in range(INPUTS):
        row[:] = [n, [n], calls.Opaque(n)] if n % 50 == 0 else [n, [n]]
        yield row


async def areused() -> AsyncIterator[list[Any]]:
    for row in reused():
        yield row


def firsts(results: list[Any]) -> list[Any]:
    return [(result[0], result[1]) for result in results]


RIGHT = [(n, [n]) for n in range(INPUTS)]


def test_reused_inputs_are_sent_as_they_were_when_they_were_pulled() -> None:
    assert firsts(list(calls.identity.map(reused()))) == RIGHT
    assert firsts(list(calls.identity.spawn_map(reused()).iter())) == RIGHT
    assert firsts(list(calls.identity.starmap((row,) for row in reused()))) == RIGHT


def test_reused_inputs_of_async_iterables_are_sent_as_they_were() -> None:
    async def main() -> None:
        assert firsts([result async for result in calls.identity.map.aio(areused())]) == RIGHT
        call = await calls.identity.spawn_map.aio(areused())
        assert firsts([result async for result in call.iter.aio()]) == RIGHT

    asyncio.run(main())


def test_keyword_arguments_that_change_while_inputs_are_pulled_are_the_same_for_all() -> None:
    kwargs: dict[str, Any] = {"into": []}

    def inputs() -> Iterator[int]:
        for n in range(200):
            kwargs["into"].append(n)
            kwargs["also"] = n
            yield n

    assert set(calls.grow.map(inputs(), kwargs=kwargs)) == {(1, False)}


def test_one_bad_input_does_not_fail_its_neighbours() -> None:
    results = list(calls.value_of.map([calls.Stubborn(n) for n in range(1000)], return_exceptions=True))
    assert isinstance(results[77], errors.DeserializationError)
    assert "broken item" in str(results[77])
    slow = results[78]
    assert isinstance(slow, errors.FunctionTimeoutError)
    results[77:79] = 77, 78
    assert results == list(range(1000))


def test_one_bad_input_of_a_spawned_map_does_not_fail_its_neighbours() -> None:
    call = calls.value_of.spawn_map([calls.Stubborn(n) for n in range(70, 78)])
    assert [call.get(index=n) for n in range(7)] == list(range(70, 77))
    with pytest.raises(errors.DeserializationError, match="broken item"):
        call.get(index=7)


def test_one_bad_result_does_not_fail_its_neighbours() -> None:
    results = list(calls.stubborn.map([n for n in range(200) if n != 78], return_exceptions=True))
    bad = results.pop(77)
    assert isinstance(bad, errors.DeserializationError)
    assert [result.value for result in results] == [n for n in range(200) if n not in (77, 78)]


def test_one_bad_result_of_calls_that_are_made_together_fails_alone() -> None:
    async def main() -> None:
        await asyncio.gather(*(calls.stubborn.remote.aio(n) for n in range(20)))  # workers tell how short it is
        made = (calls.stubborn.remote.aio(n) for n in range(60, 78))
        *good, bad = await asyncio.gather(*made, return_exceptions=True)
        assert [result.value for result in good if isinstance(result, calls.Stubborn)] == list(range(60, 77))
        assert isinstance(bad, errors.DeserializationError)

    asyncio.run(main())


def test_time_for_reading_arguments_is_time_of_the_input() -> None:
    with pytest.raises(errors.FunctionTimeoutError, match="longer than its timeout of 2 s"):
        calls.value_of.remote(calls.Stubborn(78))


def test_no_input_shares_keyword_arguments_with_another() -> None:
    assert set(calls.grow.map(range(200), kwargs={"into": []})) == {(1, False)}
    assert set(calls.grow.spawn_map(range(200), kwargs={"into": []}).iter()) == {(1, False)}


def test_what_is_shared_within_an_input_is_shared_with_no_other() -> None:
    into: list[Any] = [calls.Opaque(0)]
    assert set(calls.grow.map(range(200), kwargs={"into": into, "also": into})) == {(2, True)}
    assert set(calls.grow.starmap([(n, into, into) for n in range(200)])) == {(2, True)}
    assert calls.grow.remote(1, into, into) == (2, True)


CLEAN = ("nobody", 28)


def test_context_of_an_input_is_its_own() -> None:
    assert [calls.who.remote() for _ in range(3)] == [CLEAN] * 3
    assert set(calls.who.starmap([()] * 300)) == {CLEAN}


@pytest.mark.parametrize("pause", [False, True])
def test_context_of_an_async_input_is_its_own(pause: bool) -> None:
    assert [calls.awho.remote(pause) for _ in range(3)] == [CLEAN] * 3
    assert set(calls.awho.map([pause] * 300)) == {CLEAN}
    assert set(calls.awho.spawn_map([pause] * 100).iter()) == {CLEAN}
    assert set(calls.awho.map([n % 3 == 0 for n in range(300)])) == {CLEAN}


def test_context_of_calls_that_are_made_together_is_each_ones_own() -> None:
    async def main() -> None:
        for _ in range(3):
            assert set(await asyncio.gather(*(calls.who.remote.aio() for _ in range(50)))) == {CLEAN}
            assert set(await asyncio.gather(*(calls.awho.remote.aio(False) for _ in range(50)))) == {CLEAN}

    asyncio.run(main())


@pytest.mark.parametrize("function", [calls.who_each, calls.awho_each], ids=["sync", "async"])
def test_all_steps_of_a_generator_have_one_context(function: Function[[int], Any, Any]) -> None:
    for _ in range(3):
        assert list(function.remote_gen(400)) == [CLEAN] + [("alice", 3)] * 399


def test_reading_arguments_belongs_to_the_context_of_an_input() -> None:
    assert list(calls.who_read.map([calls.WhoReads(n) for n in range(100)])) == [(CLEAN, ("alice", 3))] * 100
