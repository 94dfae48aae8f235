"""Functions that are handed over; what they did is written into files."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import busfn

app = busfn.App("durable")

QUICK = busfn.Retries(max_retries=3, initial_delay=0.1, backoff_coefficient=2.0)


def log(path: str, line: object) -> None:
    """Append one line, whole."""
    with open(path, "a") as file:
        file.write(f"{line}\n")


@app.function()
def square(x: int) -> int:
    return x * x


@app.function()
def identity(value: Any) -> Any:
    return value


def peak_memory() -> int:
    """Bytes that this process had in memory at most."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@app.function(max_containers=1)
def size_and_peak(value: bytes) -> tuple[int, int]:
    return len(value), peak_memory()


@app.function(retries=QUICK, max_containers=2)
def weighed(path: str, how: str, value: bytes) -> int:
    """Ends in the given way: well, or after a while, at the second attempt, never, or when it may."""
    log(path, how)
    again = Path(path).read_text().split().count(how) > 1
    if how == "raise" and not Path(path + ".fixed").exists():
        raise ValueError("not fixed yet")
    if how == "flaky" and not again:
        raise ValueError("try again")
    if how == "kill" and not again:
        os.kill(os.getpid(), 9)
    if how == "slow":
        time.sleep(0.1)
    if how == "wait":
        held.local(path + ".wait")
    return len(value)


@app.function(max_containers=2)
def noise(size: int) -> bytes:
    return os.urandom(size)


@app.function(max_containers=2)
def logged(path: str, x: int) -> int:
    time.sleep(0.003)
    log(path, x)
    return x


@app.function(max_containers=1)
def held(path: str, ballast: bytes = b"") -> str:
    """Runs until the file is there."""
    Path(path + ".started").touch()
    deadline = time.monotonic() + 30
    while not Path(path).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return "done"


@app.function(max_containers=2)
def own_id(path: str = "") -> str | None:
    """The id of its call; with a path, it is written there, and the body runs until somebody makes ``path.go``."""
    if path:
        log(path, busfn.current_function_call_id())
        deadline = time.monotonic() + 30
        while not Path(path + ".go").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    return busfn.current_function_call_id()


@app.function(max_containers=2)
def uneven(path: str) -> None:
    """Takes ten milliseconds; or, with a path, as long as the file is missing."""
    time.sleep(0.01)
    if path:
        held.local(path)


@app.function(max_containers=2)
def uneven_items(path: str) -> Iterator[int]:
    """The same as a generator."""
    uneven.local(path)
    yield 1


@app.function()
def pid_when(path: str) -> int:
    """The worker's process, once the file is there."""
    held.local(path)
    return os.getpid()


@app.function(max_containers=2)
def noted(path: str, x: int) -> int:
    log(path, x)
    return x


@app.function(retries=busfn.Retries(max_retries=2, initial_delay=0.1), timeout=1.0, max_containers=2)
def poison(path: str, how: str) -> Any:
    """Breaks its worker in the given way until it is fixed."""
    if how.startswith("good") or Path(path + ".fixed").exists():
        return how
    log(path, how)
    if how == "raise":
        return 1 // 0
    if how == "hang":
        time.sleep(60)
    elif how == "hang in C":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        ctypes.PyDLL(None).sleep(60)
    _die(how)
    return threading.Lock()


@app.function(max_containers=2)
def takes_host(path: str, what: str) -> str:
    """Takes its whole host down when told to."""
    log(path, what)
    if what == "down" and not Path(path + ".fixed").exists():
        _take_host_down()
    return what


def _take_host_down() -> None:
    forks = os.getppid()
    supervisor = int(Path(f"/proc/{forks}/stat").read_text().rpartition(")")[2].split()[1])
    for pid in (supervisor, forks, os.getpid()):
        os.kill(pid, signal.SIGKILL)


@app.function(max_containers=2)
def waits(path: str) -> int:
    """Logs its process, and runs until it may go."""
    log(path, os.getpid())
    deadline = time.monotonic() + 90
    while not Path(path + ".go").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return os.getpid()


@app.function(timeout=1.0)
def brief(path: str) -> int:
    return waits.get_raw_f()(path)


@app.function(max_containers=1)
def fails_late(path: str) -> None:
    """Fails when the file is there."""
    held.get_raw_f()(path)
    raise ValueError("too late")


@app.function(retries=QUICK, max_containers=2)
def flaky(path: str, succeeds_at: int) -> int:
    """Fails until its n-th attempt; logs when each began."""
    log(path, time.time())
    attempts = len(Path(path).read_text().splitlines())
    if attempts < succeeds_at:
        raise ValueError(f"attempt {attempts}")
    return attempts


@app.function(retries=2, max_containers=1)
def never_right(path: str) -> None:
    log(path, "ran")
    raise ArithmeticError("no")


@app.function(retries=QUICK, timeout=0.3)
def slow(path: str) -> None:
    log(path, "ran")
    time.sleep(30)


@app.function()
def fails(x: int) -> int:
    if x % 10 == 3:
        raise KeyError(x)
    return x


@app.function(max_containers=2)
def kills(path: str, x: int) -> int:
    log(path, x)
    if x == 5:
        os.kill(os.getpid(), 9)
    return x


@app.function()
def unsendable() -> Any:
    return threading.Lock()


@app.function()
def parent(n: int) -> list[str]:
    """Hands calls over from inside a body."""
    return [square.spawn(i).object_id for i in range(n)]


@app.function()
def grandparent(n: int) -> str:
    """Hands a call over that hands further ones over."""
    return parent.spawn(n).object_id


@app.function(max_containers=1)
def interrupted(path: str) -> None:
    """Tells how it was stopped."""
    log(path, "started")
    try:
        while True:
            time.sleep(0.01)
    except BaseException as error:
        log(path, type(error).__name__)
        raise


@app.function(max_containers=1)
async def ainterrupted(path: str) -> None:
    log(path, "started")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        log(path, "CancelledError")
        raise


@app.function(max_containers=1)
def stuck(path: str, seconds: int) -> int:
    """Holds the GIL and hears nothing, unless told to be quick."""
    log(path, "started")
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    ctypes.PyDLL(None).sleep(seconds)
    return os.getpid()


@app.function(max_containers=4)
def dying(path: str, x: int, ballast: bytes = b"") -> int:
    """Whoever finds the order to die obeys once. Logs when an input starts and ends, and its process."""
    log(path, f"start {x} {os.getpid()} {time.time()}")
    time.sleep(0.005 + 0.045 * (x % 10) / 9)
    order, died = Path(path + ".die"), Path(f"{path}.died.{x}")
    try:
        if died.exists():  # an input that takes three workers down is given up
            raise FileNotFoundError
        death = order.read_text()
        order.unlink()
    except FileNotFoundError:
        log(path, f"end {x} {os.getpid()} {time.time()}")
        return x
    died.touch()
    _die(death, lambda: log(path, f"death {x} {os.getpid()} {time.time()}"))
    return -1


def _die(death: str, last_words: Callable[[], None] = lambda: None) -> None:
    if death == "memory":
        _exhaust_memory()
    last_words()
    if death == "exit":
        os._exit(3)
    elif death == "segfault":
        ctypes.string_at(0)
    elif death == "memory":
        os.kill(os.getpid(), signal.SIGKILL)


def _exhaust_memory() -> None:
    """Takes what there is; the kernel would kill those who take too much."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + (64 << 20), resource.RLIM_INFINITY))
    hoard: list[bytearray] = []
    try:
        while True:
            hoard.append(bytearray(1 << 20))
    except MemoryError:
        hoard.clear()


@app.function()
def logged_with_pid(path: str, x: int) -> int:
    time.sleep(0.005)
    log(path, f"{x}:{os.getpid()}")
    return x


@app.function()
def items(n: int) -> Iterator[int]:
    yield from range(n)


@app.function()
def stamped(path: str) -> float:
    """When it ran."""
    log(path, "ran")
    return time.time()


@app.function(max_containers=1)
def slowly(path: str, x: int) -> int:
    time.sleep(0.2)
    log(path, x)
    return x


@app.function(env={"DURABLE_MENDED_BY": "yes"})
def mended(x: int) -> int:
    return x


def _fail_until_mended() -> None:
    """Workers of `mended` cannot start until the test makes a file."""
    mark = os.environ.get("DURABLE_MARK", "")
    if "DURABLE_MENDED_BY" in os.environ and mark and not Path(mark).exists():
        raise RuntimeError("not mended yet")


_fail_until_mended()
