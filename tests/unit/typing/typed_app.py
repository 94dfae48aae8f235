"""Correct uses of every kind of function: both type checkers must find nothing here. Never run.

`assert_type` pins what the overloads of ``@app.function()`` and the two-faced operations (``f.remote`` and
``f.remote.aio``) promise to users.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from typing import Any, assert_type

import busfn
from busfn.maps import MapResult

app = busfn.App("typed")
other = busfn.App()


@app.function()
def square(x: int) -> int:
    return x * x


@app.function(name="greeting", timeout=5.0, max_containers=2, env={"LANG": "C"})
def greet(name: str, *, loud: bool = False) -> str:
    return name.upper() if loud else name


@app.function()
async def halve(x: int) -> float:
    return x / 2


@app.function()
def count(upto: int) -> Generator[int, None, None]:
    yield from range(upto)


@app.function()
async def spell(word: str) -> AsyncGenerator[str, None]:
    for letter in word:
        yield letter


@app.function()
def letters(word: str) -> Iterator[str]:
    yield from word


@app.function()
async def ticks(upto: int) -> AsyncIterator[float]:
    for tick in range(upto):
        yield tick / 1.0


@app.function()
def find(key: str, default: int | None = None) -> dict[str, list[int]] | None:
    return None if default is None else {key: [default]}


@app.function()
def untyped(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


@app.function()
def log(line: str) -> None:
    print(line)


@app.local_entrypoint()
def main(n: int = 10) -> str:
    return str(n)


def calls() -> None:
    assert_type(square.remote(1), int)
    assert_type(square.remote(x=1), int)
    assert_type(square.local(1), int)
    assert_type(square.get_raw_f()(1), int)
    assert_type(greet.remote("bus"), str)
    assert_type(greet.remote("bus", loud=True), str)
    assert_type(find.remote("k"), dict[str, list[int]] | None)
    assert_type(find.remote("k", default=3), dict[str, list[int]] | None)
    assert_type(untyped.remote(1, "a", key=2.0), Any)
    log.remote("line")


async def async_calls() -> None:
    assert_type(await square.remote.aio(1), int)
    assert_type(await greet.remote.aio("bus", loud=True), str)
    assert_type(await find.remote.aio("k"), dict[str, list[int]] | None)
    await log.remote.aio("line")


async def async_functions() -> None:
    assert_type(halve.remote(3), float)
    assert_type(await halve.remote.aio(3), float)
    local: Coroutine[Any, Any, float] = halve.local(3)
    assert_type(await local, float)


async def generators() -> None:
    assert_type(count.remote_gen(3), Generator[int, None, None])
    assert_type(list(count.remote_gen(upto=3)), list[int])
    assert_type([item async for item in count.remote_gen.aio(3)], list[int])
    assert_type(list(count.local(3)), list[int])
    assert_type(list(spell.remote_gen("bus")), list[str])
    assert_type(spell.remote_gen.aio("bus"), AsyncGenerator[str, None])
    assert_type([item async for item in spell.local("bus")], list[str])


async def iterators() -> None:
    """A generator may be annotated as the iterator that it is."""
    assert_type(list(letters.remote_gen("bus")), list[str])
    assert_type([item async for item in letters.remote_gen.aio("bus")], list[str])
    assert_type(list(letters.local("bus")), list[str])
    assert_type([item async for item in ticks.remote_gen.aio(3)], list[float])
    assert_type([item async for item in ticks.local(3)], list[float])


async def maps() -> None:
    """The inputs of maps are not checked, their results are typed."""
    assert_type(square.map(range(3)), MapResult[int])
    assert_type(list(square.map([1, 2], order_outputs=False)), list[int])
    assert_type([item async for item in square.map.aio(range(3))], list[int])
    assert_type(list(square.starmap([(1,), (2,)])), list[int])
    assert_type(list(greet.map(["a", "b"], kwargs={"loud": True})), list[str])
    assert_type(list(halve.map([1, 2])), list[float])
    assert_type([item async for item in halve.starmap.aio([(1,)])], list[float])
    square.for_each([1, 2], ignore_exceptions=True)
    await square.for_each.aio([1, 2])


async def handles() -> None:
    assert_type(square.name, str)
    assert_type(square.is_generator, bool)
    assert_type(square.hydrate().remote(1), int)
    assert_type((await square.hydrate.aio()).remote(1), int)
    assert_type(app.include(other), busfn.App)


async def durable_calls() -> None:
    call = square.spawn(1)
    assert_type(call, busfn.FunctionCall[int])
    assert_type(call.get(timeout=1.0), int)
    assert_type(await call.get.aio(1, index=0), int)
    call.cancel(terminate_containers=True)
    assert_type(square.spawn_map([1, 2], kwargs={}), busfn.FunctionCall[int])
    assert_type((await square.spawn_map.aio([1, 2])).get(index=1), int)
    assert_type(square.update_autoscaler(min_containers=1).min_containers, int | None)


async def by_name() -> None:
    """A handle from `from_name` knows nothing of the function."""
    remote = busfn.Function.from_name("typed", "square")
    assert_type(remote, busfn.Function[..., Any, Any])
    assert_type(remote.remote(1, "anything", at=1), Any)
    assert_type(await remote.remote.aio(1), Any)
    assert_type(list(remote.remote_gen()), list[Any])
    assert_type(list(remote.map([1])), list[Any])


def runs() -> None:
    assert_type(main(), str)
    assert_type(main(n=3), str)
    with app.run(show_logs=False):
        assert_type(square.remote(1), int)


async def async_runs() -> None:
    async with app.run():
        assert_type(await square.remote.aio(1), int)
