"""Functions of every kind for the integration tests. Tests tell bodies apart, and make them wait, through files."""

from __future__ import annotations

import asyncio
import builtins
import decimal
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import busfn

app = busfn.App("calls")

PATIENCE = 20.0


class Custom(Exception):
    """An error with an attribute of its own."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message, detail)
        self.detail = detail


class Opaque:
    """Plain data cannot say this: it travels as a pickle."""

    def __init__(self, value: int) -> None:
        self.value = value


def wait_for(path: Path | str) -> None:
    """Block until the test (or another body) has made the file."""
    deadline = time.monotonic() + PATIENCE
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} never came")
        time.sleep(0.005)


def note(folder: str, name: object) -> None:
    """Leave a mark: one file a run."""
    (Path(folder) / f"{name}.{os.getpid()}.{time.monotonic_ns()}").touch()


@app.function()
def square(x: int) -> int:
    """The square of a number."""
    return x * x


@app.function()
def identity(value: Any) -> Any:
    return value


@app.function()
def pid() -> int:
    return os.getpid()


@app.function()
def facts() -> dict[str, Any]:
    """What a body can ask about itself."""
    return {
        "local": busfn.is_local(),
        "input": busfn.current_input_id(),
        "call": busfn.current_function_call_id(),
        "main": __name__,
    }


@app.function()
async def asquare(x: int) -> int:
    await asyncio.sleep(0)
    return x * x


@app.function()
def keywords(a: int, *rest: int, b: int = 2, **more: int) -> list[Any]:
    return [a, list(rest), b, more]


@app.function()
def fail(message: str) -> None:
    raise Custom(message, "the detail")


@app.function()
def fail_on(x: int, bad: int) -> int:
    if x == bad:
        raise Custom(f"{x} is bad", str(x))
    return x


@app.function()
def chained() -> None:
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("outer") from error


@app.function()
def opaque(value: Opaque) -> tuple[bool, Opaque]:
    return isinstance(value, Opaque), Opaque(value.value + 1)


@app.function()
def leaves() -> None:
    sys.exit(3)


@app.function()
def returns_lock() -> Any:
    import threading

    return threading.Lock()


@app.function()
def returns_generator() -> Any:
    return (i for i in range(3))


@app.function(max_containers=2)
def meet(folder: str, me: int, other: int) -> int:
    """Returns once another body is running, too."""
    (Path(folder) / str(me)).touch()
    wait_for(Path(folder) / str(other))
    return os.getpid()


@app.function(max_containers=1)
def hold(folder: str, name: str) -> str:
    """Runs until the test makes ``<name>.go``."""
    note(folder, f"{name}.started")
    wait_for(Path(folder) / f"{name}.go")
    return name


@app.function(max_containers=2)
def gated(gate: str) -> str:
    """Returns at once; with a gate, when somebody has made that file."""
    if gate:
        Path(gate + ".started").touch()
        wait_for(gate)
    return gate


@app.function(max_containers=2)
def marked(folder: str, x: int) -> int:
    """Leaves a mark for each time it runs."""
    note(folder, x)
    time.sleep(0.002)
    return x * 2


@app.function()
def count(n: int) -> Iterator[int]:
    yield from range(n)


@app.function()
async def acount(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


@app.function()
def count_and_fail(n: int) -> Iterator[int]:
    yield from range(n)
    raise Custom("after the items", str(n))


@app.function()
def steps(folder: str, n: int) -> Iterator[int]:
    """Each item but the first waits for the test; tells when it is closed."""
    try:
        for i in range(n):
            if i:
                wait_for(Path(folder) / f"{i}.go")
            yield i
    finally:
        (Path(folder) / "closed").touch()


@app.function()
def eager(folder: str, n: int) -> Iterator[int]:
    """Tells how far it was driven."""
    for i in range(n):
        (Path(folder) / "at").write_text(str(i))
        yield i


@app.function(is_generator=True)
def given() -> Any:
    return iter([1, 2, 3])


@app.function()
def nested(depth: int) -> int:
    return 0 if depth == 0 else 1 + nested.remote(depth - 1)


@app.function()
def nested_map(n: int) -> list[int]:
    return list(square.map(range(n)))


@app.function(max_containers=1)
def selfish(depth: int) -> int:
    return 0 if depth == 0 else 1 + selfish.remote(depth - 1)


@app.function()
def calls_back(function: Any, x: int) -> int:
    """A function as an argument."""
    return function.remote(x)


@app.function(max_containers=2)
def dies(folder: str, x: int, times: int) -> int:
    """Takes its worker down the first few times that it runs for ``x``."""
    note(folder, x)
    if len(list(Path(folder).glob(f"{x}.*"))) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@app.function(timeout=0.5)
def too_long(seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.01)
    return "done"


@app.function(timeout=0.5)
async def atoo_long(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@app.function(timeout=0.5)
def stuck(folder: str, seconds: int) -> None:
    """Holds the GIL, so no signal handler of Python's runs."""
    import ctypes

    note(folder, "stuck")
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])  # or the sleep would end early
    ctypes.PyDLL(None).sleep(seconds)


@app.function(timeout=120)
def hog(folder: str, seconds: int) -> int:
    """Holds the GIL: no thread of the process runs meanwhile."""
    import ctypes

    note(folder, "hog")
    ctypes.PyDLL(None).sleep(seconds)
    return os.getpid()


@app.function()
def noted(folder: str, name: str, size: int) -> bytes:
    note(folder, name)
    return bytes(size)


def grip(folder: str, name: str, seconds: float) -> int:
    """Holds the GIL for so long."""
    import ctypes

    note(folder, name)
    if seconds:
        ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
        note(folder, f"{name}-over")
    return os.getpid()


@app.function(min_containers=2, max_containers=2)
def gripping(folder: str, name: str, seconds: float) -> int:
    return grip(folder, name, seconds)


@app.function(max_containers=1)
def lonely_gripping(folder: str, name: str, seconds: float) -> int:
    return grip(folder, name, seconds)


@app.function(min_containers=3, max_containers=3)
def often_gripping(folder: str, name: str, seconds: float) -> int:
    return grip(folder, name, seconds)


@app.function(single_use_containers=True)
def once() -> int:
    return os.getpid()


@app.function(env={"CALLS_COLOR": "blue"})
def color() -> str | None:
    return os.environ.get("CALLS_COLOR")


@app.function()
def shout(text: str) -> None:
    print(text)
    print(text.upper(), file=sys.stderr)


@app.function(timeout=3)
def nap(x: float) -> float:
    time.sleep(x)
    return x


@app.function()
def blocks(n: int, size: int) -> Iterator[bytes]:
    for _ in range(n):
        yield b"x" * size


@app.function()
def pid_then_wait() -> Iterator[int]:
    yield os.getpid()
    time.sleep(PATIENCE)


@app.function()
def text(size: int) -> str:
    return "x" * size


class HttpFault(Exception):
    """Pickles, and fails to be unpickled: its initializer wants a keyword."""

    def __init__(self, *, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Unsendable(Exception):
    __slots__ = ("code",)

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = 7
        self.lock = threading.Lock()


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit("mute")


def fault(kind: str) -> BaseException:
    """An exception that is hard to send."""
    match kind:
        case "nested":
            return RuntimeError("order 17 could not be paid", HttpFault(status=402))
        case "slots":
            return Slotted(7)
        case "unsendable":
            return Unsendable("order 17")
        case "group":
            return ExceptionGroup("order 17", [HttpFault(status=402), Unsendable("in a group")])
        case "surrogate":
            return ValueError("order 17 \ud800\0\x1b")
        case "mute":
            return Mute("order 17")
        case "huge":
            return ValueError("order 17" + "x" * 10_000_000)
        case _:
            error = ValueError("order 17")
            error.args = ("order 17", error)
            return error


@app.function()
def raises(kind: str) -> None:
    raise fault(kind) from KeyError("the cause")


@app.function()
def fails_sometimes(x: int, kind: str) -> int:
    if x % 3 == 1:
        raise fault(kind)
    return x


@app.function()
def counts_then_raises(n: int, kind: str) -> Iterator[int]:
    yield from range(n)
    raise fault(kind)


@app.function()
def returns_faults() -> list[Any]:
    try:
        raise fault("unsendable")
    except Unsendable as error:
        return [error, fault("nested"), {"slots": fault("slots")}]


@app.function()
def raise_text(x: str) -> None:
    raise ValueError(x)


class Endless(Exception):
    """Its text never comes."""

    def __str__(self) -> str:
        while True:
            time.sleep(0.01)


@app.function(timeout=1)
def raises_endless() -> None:
    raise Endless


# What an input must not notice of others


report: dict[str, Any] = {"total": 0, "parts": []}


def filled(n: int) -> dict[str, Any]:
    """The same object each time, with other contents."""
    report["total"] = n * 100
    report["parts"][:] = [n, [n]]
    return report


@app.function()
def summary(n: int) -> dict[str, Any]:
    return filled(n)


@app.function()
async def asummary(n: int) -> dict[str, Any]:
    return filled(n)


@app.function()
def summaries(n: int) -> Iterator[dict[str, Any]]:
    for i in range(n):
        yield filled(i)


@app.function()
def opaque_summary(n: int) -> Opaque:
    kept.value = n
    return kept


kept = Opaque(0)


@app.function()
def refused_summary(n: int) -> None:
    raise Custom("no", filled(n))  # type: ignore[arg-type]


class Stubborn(Opaque):
    """Some of them cannot be read where they arrive."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["value"] == 77:
            raise ValueError("broken item")
        if state["value"] == 78:
            time.sleep(30)
        self.__dict__.update(state)


@app.function(timeout=2, max_containers=1)
def value_of(item: Stubborn) -> int:
    return item.value


@app.function(max_containers=1)
def grow(x: int, into: list[int], also: list[int] | None = None) -> tuple[int, bool]:
    into.append(x)
    return len(into), into is also


@app.function()
def stubborn(n: int) -> Stubborn:
    return Stubborn(n)


user: ContextVar[str] = ContextVar("user", default="nobody")


def changed_context() -> tuple[str, int]:
    """What the context was, which is another one afterwards."""
    found = user.get(), decimal.getcontext().prec
    user.set("alice")
    decimal.getcontext().prec = 3
    return found


@app.function(max_containers=1)
def who() -> tuple[str, int]:
    return changed_context()


@app.function(max_containers=1)
async def awho(pause: bool) -> tuple[str, int]:
    found = changed_context()
    if pause:
        await asyncio.sleep(0)
        assert user.get() == "alice"
    return found


@app.function(max_containers=1)
def who_each(n: int) -> Iterator[tuple[str, int]]:
    for _ in range(n):
        yield changed_context()


@app.function(max_containers=1)
async def awho_each(n: int) -> AsyncIterator[tuple[str, int]]:
    for _ in range(n):
        yield changed_context()
        await asyncio.sleep(0)


class WhoReads(Opaque):
    """Changes the context when it is read."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.found = changed_context()


@app.function(max_containers=1)
def who_read(item: WhoReads) -> tuple[Any, Any]:
    return item.found, changed_context()


async def ends_in(how: str) -> None:
    """Cancels, or lets out what usually ends more than a call."""
    if how == "helper":
        helper = asyncio.create_task(asyncio.sleep(30))
        await asyncio.sleep(0)
        helper.cancel()
        await helper
    elif how == "itself":
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(30)
    elif how == "task exits":
        await asyncio.create_task(exits())
    elif how == "all tasks":
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(30)
    else:
        raise getattr(builtins, how, asyncio.CancelledError)("from the body")


async def exits() -> None:
    raise SystemExit("from a task")


RETRIED = busfn.Retries(max_retries=2, initial_delay=0.0)


@app.function(timeout=20, retries=RETRIED, max_containers=1)
async def aends(folder: str, how: str) -> None:
    note(folder, f"{how}-{time.monotonic_ns()}")
    await ends_in(how)


@app.function(timeout=20, retries=RETRIED, max_containers=1)
def ends(folder: str, how: str) -> None:
    note(folder, f"{how}-{time.monotonic_ns()}")
    asyncio.run(ends_in(how))


@app.function(max_containers=1)
async def apid_after(how: str) -> int:
    """Leaves the task that it runs in as it should not be left."""
    task = asyncio.current_task()
    assert task is not None
    if how == "cancelled":
        task.cancel()
    if how == "group":
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        assert not task.cancelling()
    return os.getpid()


@app.function(timeout=0.5, max_containers=1)
async def aswallows(how: str) -> str:
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        if how == "fails":
            raise ValueError("cleaned up") from None
        if how == "groups":
            raise
    return how


@app.function(timeout=0.5, max_containers=1)
def swallows(how: str) -> str:
    try:
        time.sleep(30)
    except BaseException:
        if how == "fails":
            raise ValueError("cleaned up") from None
    return how


@app.function(timeout=5)
def raises_timeout() -> None:
    raise TimeoutError("the body's own")
