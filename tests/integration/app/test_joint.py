"""Short calls that are made at the same moment share messages: what users see of it is nothing but speed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joint
import pytest

from busfn.bus.base import Message
from busfn.bus.core import connect
from busfn.client import Client
from busfn.function import Function
from busfn.protocol import headers as h


@pytest.fixture(scope="module", autouse=True)
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with joint.app.run():
        yield


def together(*calls: tuple[Any, ...], function: Function[..., Any, Any] = joint.act) -> list[Any]:
    """Results, or errors, of calls that are made at once; after one that shows that they are short."""

    async def make() -> list[Any]:
        return await asyncio.gather(*(function.remote.aio(*call) for call in calls), return_exceptions=True)

    return asyncio.run(make())


@pytest.fixture
def sizes() -> Iterator[list[int]]:
    """How many calls the messages to functions of this app hold, 0 for a single one."""
    client = joint.app.binding.client
    assert client is not None
    seen: list[int] = []

    def on_message(message: Message) -> None:
        seen.append(int(message.headers.get(h.COUNT, 0)))

    with _Tap(client, on_message):
        yield seen


class _Tap:
    """Hears what is sent to functions, on a connection of its own."""

    def __init__(self, client: Client, on_message: Any) -> None:
        self._portal = client.link.portal
        self._client = client
        self._on_message = on_message

    def __enter__(self) -> None:
        self._bus = self._portal.run(connect(self._client.address, name="tap"))
        self._portal.run(self._bus.subscribe(self._client.link.subjects.function("joint", "*"), self._on_message))

    def __exit__(self, *_: object) -> None:
        self._portal.run(self._bus.close())


def test_calls_of_one_moment_share_messages_and_get_their_own_answers(sizes: list[int]) -> None:
    joint.act.remote("give", 0)
    for _ in range(20):
        assert together(*(("give", i) for i in range(50))) == list(range(50))
    assert sum(size for size in sizes) > 0
    assert sum(max(1, size) for size in sizes) >= 1 + 20 * 50


def test_each_keeps_an_id_of_its_own() -> None:
    joint.act.remote("ids")
    found = [each for _ in range(10) for each in together(*[("ids",)] * 40)]
    assert len({call for call, _, _ in found}) == 400
    assert all(input_id == f"{call.rpartition('.')[2]}-0" for call, input_id, _ in found)


def test_an_error_is_raised_at_its_own_call_only() -> None:
    for _ in range(5):
        joint.act.remote("give", 0)
        results = together(*(("fail" if i % 7 == 3 else "give", i) for i in range(50)))
        for i, result in enumerate(results):
            if i % 7 == 3:
                assert isinstance(result, ValueError)
                assert result.args == (i,)
            else:
                assert result == i


def test_values_of_any_kind_and_size() -> None:
    joint.act.remote("give", 0)
    kinds = [("give", i) for i in range(20)] + [("opaque", i) for i in range(3)] + [("large", 1 << 20)] * 2
    results = together(*kinds)
    assert results[:20] == list(range(20))
    assert [each.value for each in results[20:23]] == [0, 1, 2]
    assert [len(each) for each in results[23:]] == [1 << 20] * 2


def test_a_long_one_holds_up_none_of_the_others() -> None:
    joint.act.remote("give", 0)
    done: list[int] = []

    async def make(i: int) -> None:
        await joint.act.remote.aio(*(("sleep", 3.0) if i == 5 else ("give", i)))
        done.append(i)

    async def make_all() -> None:
        await asyncio.gather(*map(make, range(40)))

    asyncio.run(make_all())
    assert len(done) == 40
    assert done[-1] == 5


def test_a_worker_that_dies_takes_no_call_with_it(tmp_path: Path) -> None:
    for attempt in range(3):
        joint.act.remote("give", 0)
        mark = tmp_path / f"died{attempt}"
        results = together(*(("die", str(mark)) if i == 10 else ("give", i) for i in range(20)))
        assert results[:10] + results[11:] == [*range(10), *range(11, 20)]
        assert results[10] == str(mark)


def test_a_function_with_retries_is_called_one_by_one(sizes: list[int]) -> None:
    joint.retried.remote(0)
    assert together(*((i,) for i in range(30)), function=joint.retried) == list(range(30))
    assert set(sizes) == {0}


def test_calls_of_threads_share_messages_too(sizes: list[int]) -> None:
    joint.act.remote("give", 0)
    results: dict[int, Any] = {}

    def work(first: int) -> None:
        for i in range(first, first + 20):
            results[i] = joint.act.remote("give", i)

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: i for n in range(16) for i in range(1000 * n, 1000 * n + 20)}
    assert sum(max(1, size) for size in sizes) >= 321
