"""An app for the tests of the command line. Tests make bodies go on by creating files."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import busfn

app = busfn.App("example")

PATIENCE = 60.0


class Refused(Exception):
    """An error of the app's own."""


def wait_for(path: Path) -> None:
    """Block until the test has made the file."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} never came")
        time.sleep(0.005)


@app.function()
def square(x: int) -> int:
    """The square of a number."""
    return x * x


@app.function()
def nothing() -> None:
    pass


@app.function()
def text() -> str:
    return "grüße\n"


@app.function()
def data() -> bytes:
    return b"\x00\xff"


@app.function()
def rest(*args: str) -> str:
    return repr(args)


@app.function()
def steps(folder: Path, n: int) -> Iterator[str]:
    """Each item but the first waits for the test."""
    for i in range(n):
        if i:
            wait_for(folder / f"{i}.go")
        yield f"item {i}"


@app.function()
def shout(words: str) -> str:
    print(words)
    print(words.upper(), file=sys.stderr)
    return "result"


@app.function()
def fail(message: str) -> None:
    raise Refused(message)


@app.function()
def hold(folder: Path) -> None:
    """Says that it runs, and then does until the test ends it."""
    (folder / "holding").touch()
    wait_for(folder / "go")


@app.function()
def subject() -> str:
    return square.object_id


@app.local_entrypoint()
async def later(n: int = 2) -> None:
    print("async", await square.remote.aio(n), [item async for item in square.map.aio(range(n))])


@app.local_entrypoint()
def leave(code: int) -> None:
    sys.exit(code)


@app.local_entrypoint()
def leave_with_words() -> None:
    sys.exit("that is enough")


@app.local_entrypoint()
def broken() -> None:
    helper()


def helper() -> None:
    {}["missing"]


@app.local_entrypoint()
def fail_far(message: str) -> None:
    fail.remote(message)


@app.local_entrypoint()
def hold_here(folder: Path) -> None:
    hold.remote(folder)


@app.local_entrypoint()
def environment() -> None:
    print(os.environ.get("BUSFN_ENV"), square.object_id, subject.remote())


@app.local_entrypoint()
def written() -> str:
    return "by the entrypoint"


@app.local_entrypoint()
def again() -> None:
    with app.run():
        pass
