"""Every kind of function, called in every way, by handles that know the kind and by those that do not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import kinds
import nats
import pytest

from busfn import Function, errors

PLAIN, GENERATORS = ("plain", "async_plain"), ("items", "async_items")
AnyFunction = Function[..., Any, Any]


async def _remote_aio(f: AnyFunction) -> Any:
    return await f.remote.aio(1)


async def _items_aio(f: AnyFunction) -> Any:
    return [item async for item in f.remote_gen.aio(1)]


WAYS: dict[str, Callable[[AnyFunction], Any]] = {
    "remote": lambda f: f.remote(1),
    "remote.aio": lambda f: asyncio.run(_remote_aio(f)),
    "spawn": lambda f: f.spawn(1).get(timeout=20),
    "map": lambda f: next(iter(f.map([1]))),
    "starmap": lambda f: next(iter(f.starmap([(1,)]))),
    "for_each": lambda f: f.for_each([1]) or 2,
    "spawn_map": lambda f: f.spawn_map([1]).get(timeout=20),
    "remote_gen": lambda f: next(iter(f.remote_gen(1))),
    "remote_gen.aio": lambda f: asyncio.run(_items_aio(f))[0],
}
STREAMS = ("remote_gen", "remote_gen.aio")


@pytest.fixture(scope="module", autouse=True)
def serving(running: None) -> Iterator[None]:
    with kinds.app.run():
        yield


def handles(name: str) -> list[AnyFunction]:
    return [kinds.app.functions[name], Function.from_name("kinds", name)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*PLAIN, *GENERATORS])
@pytest.mark.parametrize("known", [True, False], ids=["defined", "by name"])
def test_each_kind_in_each_way(name: str, way: str, known: bool) -> None:
    handle = handles(name)[0 if known else 1]
    if (name in GENERATORS) == (way in STREAMS):
        assert WAYS[way](handle) == 2
        return
    wanted = "is a generator function.*remote_gen" if name in GENERATORS else r"not a generator function.*\.remote\("
    if known and way == "spawn":
        wanted = "Cannot `spawn` a generator"
    with pytest.raises(errors.InvalidError, match=wanted):
        WAYS[way](handle)


def test_generator_by_name_leaves_the_worker_free_and_a_failed_call() -> None:
    handle = Function.from_name("kinds", "items")
    with pytest.raises(errors.InvalidError, match="remote_gen"):
        handle.remote(2)
    call = handle.spawn(2)
    with pytest.raises(errors.InvalidError, match="remote_gen"):
        call.get(timeout=20)
    assert [info.status.name for info in call.get_call_graph()] == ["FAILURE"]
    assert list(handle.remote_gen(2)) == [3]


def test_foreign_callers_get_an_item_and_foreign_jobs_of_generators_a_failure() -> None:
    client = kinds.app.binding.require("a test")

    async def talk() -> tuple[Any, Any]:
        connection = await nats.connect(client.address.servers[0], token=client.address.token)
        try:
            answers = [
                json.loads((await connection.request(f"busfn.main.fn.kinds.{name}", b"[1]", timeout=10)).data)
                for name in (*PLAIN, *GENERATORS)
            ]
            await connection.jetstream().publish("busfn.main.job.kinds.items.abc123", b"[1]")
            return answers, None
        finally:
            await connection.close()

    assert asyncio.run(talk())[0] == [2, 2, 2, 2]
    from busfn import FunctionCall

    with pytest.raises(errors.RemoteError, match="generator function"):
        FunctionCall.from_id(str(_ref("abc123"))).get(timeout=20)


def _ref(call: str) -> object:
    from busfn.invoke.durable import CallRef
    from busfn.protocol.names import Target

    return CallRef(Target("kinds", "items"), call)  # type: ignore[arg-type]


def test_wrong_argument_speaks_of_the_method() -> None:
    f, call = kinds.plain, kinds.plain.spawn(1)
    for use, name in (
        (lambda: f.map([1], wrap_returned_exceptions=False), "plain.map"),
        (lambda: f.starmap([(1,)], ordered=False), "plain.starmap"),
        (lambda: f.for_each([1], return_exceptions=True), "plain.for_each"),
        (lambda: f.spawn_map([1], order_outputs=True), "plain.spawn_map"),
        (lambda: call.get(timeot=1), "call.get"),
        (lambda: call.cancel(1), "call.cancel"),
        (lambda: f.get_current_stats(1), "plain.get_current_stats"),
        (lambda: f.hydrate(1), "plain.hydrate"),
    ):
        with pytest.raises((TypeError, errors.InvalidError)) as caught:
            use()
        assert str(caught.value).startswith(name), str(caught.value)


def test_refused_twice_is_refused_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with pytest.raises(errors.InvalidError, match="would block the running event loop"):
            list(kinds.plain.map([1, 2]))

    asyncio.run(main())
    assert caplog.records == []


def test_unknown_name_is_not_found_in_every_way() -> None:
    for app, function, text in (
        ("kinds", "plian", "did you mean 'plain'"),
        ("kinds", "nothing", "it has async_items, async_plain, items, plain"),
        ("kindss", "plain", "there is no such app"),
    ):
        handle = Function.from_name(app, function)
        for way, use in WAYS.items():
            with pytest.raises(errors.NotFoundError, match="Lookup failed") as caught:
                use(handle)
            assert text in str(caught.value), way
        with pytest.raises(errors.NotFoundError, match="Lookup failed"):
            handle.hydrate()
