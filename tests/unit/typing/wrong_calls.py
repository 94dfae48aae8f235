"""Wrong uses: both type checkers must report every line marked ``# error``, and no other. Never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import busfn

app = busfn.App("wrong")


@app.function()
def square(x: int) -> int:
    return x * x


@app.function()
def greet(name: str, *, loud: bool = False) -> str:
    return name.upper() if loud else name


@app.function()
async def halve(x: int) -> float:
    return x / 2


@app.function()
def count(upto: int) -> Iterator[int]:
    yield from range(upto)


@app.function()
async def spell(word: str) -> AsyncIterator[str]:
    for letter in word:
        yield letter


@app.local_entrypoint()
def main(n: int = 10) -> None:
    print(n)


def arguments() -> None:
    square.remote("no")  # error
    square.remote()  # error
    square.remote(1, 2)  # error
    square.remote(y=1)  # error
    square.remote(None)  # error
    square.local("no")  # error
    square.get_raw_f()("no")  # error
    square.hydrate(1)  # error
    square.hydrate().remote("no")  # error
    greet.remote("bus", True)  # error
    greet.remote("bus", loud="very")  # error
    greet.remote("bus", aloud=True)  # error
    halve.remote("no")  # error
    main("no")  # error


async def async_arguments() -> None:
    await square.remote.aio("no")  # error
    await square.remote.aio()  # error
    await square.remote.aio(1, 2)  # error
    await greet.remote.aio("bus", True)  # error
    await halve.remote.aio("no")  # error
    await halve.local("no")  # error


async def generators() -> None:
    count.remote_gen("no")  # error
    count.remote_gen()  # error
    count.remote_gen.aio("no")  # error
    count.local("no")  # error
    spell.remote_gen(3)  # error
    spell.remote_gen.aio(3)  # error


async def results() -> None:
    text: str = square.remote(1)  # error
    later: str = await square.remote.aio(1)  # error
    whole: int = halve.remote(1)  # error
    wholes: list[int] = list(halve.map([1]))  # error
    words: list[str] = list(count.remote_gen(3))  # error
    numbers: list[int] = [item async for item in spell.remote_gen.aio("bus")]  # error
    print(text, later, whole, wholes, words, numbers)


async def waiting() -> None:
    """What blocks cannot be awaited, what is awaited gives nothing before."""
    await square.remote(1)  # error
    square.remote.aio(1).bit_length()  # error
    async for _ in count.remote_gen(3):  # error
        pass
    for _ in count.remote_gen.aio(3):  # error
        pass


def maps() -> None:
    """The rows of a map are not checked, its options are. A map without rows is refused when it runs."""
    square.map()
    square.map(["no"])
    square.map([1], ordered=True)  # error
    square.map([1], return_exceptions="yes")  # error
    square.map(1)  # error
    square.starmap([(1,)], kwargs=3)  # error


def apps() -> None:
    busfn.App(3)  # error
    app.local_entrypoint(print)  # error
    app.function()(3)  # error
    square.remove(1)  # error
    app.function(square)  # error
    app.function(min_container=1)  # error
    app.function(timeout="long")  # error
    app.function()(square)  # error
    app.include(square)  # error
    app.run(environment="x")  # error


async def handles() -> None:
    square(1)  # error
    busfn.Function.from_name("app", "f", versoin=1)  # error
    busfn.Function.from_name("app", "f", version="one")  # error
    square.with_options(delay="soon")  # error
    square.with_options(idempotent=True)  # error
    square.update_autoscaler(min_container=1)  # error
    square.update_autoscaler(min_containers="one")  # error
    await square.update_autoscaler.aio(1)  # error
    square.for_each([1], return_exceptions=True)  # error
    await square.for_each.aio([1], ignore_exceptions="no")  # error
    square.spawn_map([1], order_outputs=True)  # error
    square.map([1], wrap_returned_exceptions=False)  # error


async def calls(call: busfn.FunctionCall[int]) -> None:
    call.get(timeot=1)  # error
    call.get("soon")  # error
    await call.get.aio(indx=1)  # error
    text: str = call.get()  # error
    call.cancel(True)  # error
    await call.cancel.aio(terminate=True)  # error
    busfn.FunctionCall.from_id(3)  # error
    print(text)
