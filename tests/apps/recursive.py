"""Functions that wait for themselves, in every way there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import busfn

app = busfn.App("recursive")


def _in_thread(call: Callable[[], int]) -> int:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(call).result()


def _for_each(way: str, depth: int) -> int:
    down.for_each([way], [depth])
    return depth


SYNC: dict[str, Callable[[str, int], int]] = {
    "remote": lambda way, depth: down.remote(way, depth),
    "remote in a thread": lambda way, depth: _in_thread(lambda: down.remote(way, depth)),
    "map": lambda way, depth: next(iter(down.map([way], [depth]))),
    "map in a thread": lambda way, depth: _in_thread(lambda: next(iter(down.map([way], [depth])))),
    "starmap": lambda way, depth: next(iter(down.starmap([(way, depth)]))),
    "for_each": _for_each,
    "get": lambda way, depth: down.spawn(way, depth).get(),
    "get in a thread": lambda way, depth: _in_thread(lambda: down.spawn(way, depth).get()),
    "iter": lambda way, depth: next(down.spawn_map([way], [depth]).iter()),
    "gather": lambda way, depth: busfn.FunctionCall.gather(down.spawn(way, depth))[0],
    "remote_gen": lambda way, depth: next(down_items.remote_gen(way, depth)),
    "remote_gen in a thread": lambda way, depth: _in_thread(lambda: next(down_items.remote_gen(way, depth))),
}


async def _map(way: str, depth: int) -> int:
    return await anext(aiter(adown.map.aio([way], [depth])))


async def _for_each_aio(way: str, depth: int) -> int:
    await adown.for_each.aio([way], [depth])
    return depth


async def _get(way: str, depth: int) -> int:
    return await (await adown.spawn.aio(way, depth)).get.aio()


async def _iter(way: str, depth: int) -> int:
    return await anext((await adown.spawn_map.aio([way], [depth])).iter.aio())


async def _gather(way: str, depth: int) -> int:
    return (await busfn.FunctionCall.gather_aio(await adown.spawn.aio(way, depth)))[0]


async def _remote_gen(way: str, depth: int) -> int:
    return await anext(adown_items.remote_gen.aio(way, depth))


ASYNC: dict[str, Callable[[str, int], Coroutine[Any, Any, int]]] = {
    "remote": lambda way, depth: adown.remote.aio(way, depth),
    "remote in a thread": lambda way, depth: asyncio.to_thread(adown.remote, way, depth),
    "map": _map,
    "for_each": _for_each_aio,
    "get": _get,
    "iter": _iter,
    "gather": _gather,
    "remote_gen": _remote_gen,
}


@app.function(timeout=60, scaledown_window=0.1)
def down(way: str, depth: int) -> int:
    """How many calls wait for the last one."""
    return 1 + SYNC[way](way, depth - 1) if depth else 0


@app.function(timeout=60, scaledown_window=0.1)
async def adown(way: str, depth: int) -> int:
    return 1 + await ASYNC[way](way, depth - 1) if depth else 0


@app.function(timeout=60, scaledown_window=0.1)
def down_items(way: str, depth: int) -> Iterator[int]:
    yield 1 + SYNC[way](way, depth - 1) if depth else 0


@app.function(timeout=60, scaledown_window=0.1)
async def adown_items(way: str, depth: int) -> AsyncIterator[int]:
    yield 1 + await ASYNC[way](way, depth - 1) if depth else 0


@app.function(max_containers=1, timeout=60)
def alone(way: str, depth: int) -> int:
    """Has no other worker to wait for."""
    return 1 + ALONE[way](way, depth - 1) if depth else 0


ALONE: dict[str, Callable[[str, int], int]] = {
    "remote": lambda way, depth: alone.remote(way, depth),
    "remote in a thread": lambda way, depth: _in_thread(lambda: alone.remote(way, depth)),
    "map": lambda way, depth: next(iter(alone.map([way], [depth]))),
    "starmap": lambda way, depth: next(iter(alone.starmap([(way, depth)]))),
    "for_each": lambda way, depth: alone.for_each([way], [depth]) or 0,
    "get": lambda way, depth: alone.spawn(way, depth).get(),
    "iter": lambda way, depth: next(alone.spawn_map([way], [depth]).iter()),
    "gather": lambda way, depth: busfn.FunctionCall.gather(alone.spawn(way, depth))[0],
    "by name": lambda way, depth: busfn.Function.from_name("recursive", "alone").remote(way, depth),
}


@app.function(max_containers=3, timeout=60, scaledown_window=0.1)
def three(way: str, depth: int) -> int:
    """Has two others to wait for."""
    return 1 + THREE[way](way, depth - 1) if depth else 0


THREE: dict[str, Callable[[str, int], int]] = {
    "remote": lambda way, depth: three.remote(way, depth),
    "map": lambda way, depth: next(iter(three.map([way], [depth]))),
    "get": lambda way, depth: three.spawn(way, depth).get(),
    "iter": lambda way, depth: next(three.spawn_map([way], [depth]).iter()),
    "gather": lambda way, depth: busfn.FunctionCall.gather(three.spawn(way, depth))[0],
}


@app.function(max_containers=1, timeout=60)
def ping(depth: int) -> int:
    return pong.remote(depth - 1) if depth else 0


@app.function(max_containers=1, timeout=60)
def pong(depth: int) -> int:
    return ping.remote(depth - 1) if depth else 0


@app.function(max_containers=1, timeout=60)
def chain(path: str, depth: int) -> None:
    """Hands over to itself, and waits for nothing."""
    with open(path, "a") as file:
        file.write(f"{depth}\n")
    if depth:
        chain.spawn(path, depth - 1)
