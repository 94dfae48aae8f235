"""Bodies that make processes: by fork, by multiprocessing, and by starting programs."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import busfn

app = busfn.App("programs")


def square(x: int) -> int:
    return x * x


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def child(how: str) -> str:
    """What a forked child does; some come back from it."""
    if how == "exec":
        os.execvp("no-such-program", ["no-such-program"])
    elif how == "exit":
        sys.exit(7)
    elif how == "exit with a word":
        sys.exit("enough")
    elif how == "raise":
        raise ValueError("of the child")
    elif how == "interrupt":
        raise KeyboardInterrupt
    return "of the child"


@app.function(timeout=10, max_containers=1)
def forks(how: str) -> tuple[int, int]:
    """The worker's process, and the exit code of its child."""
    pid = os.fork()
    if pid == 0:
        child(how)
        return 0, 0
    return os.getpid(), exit_code(pid)


@app.function(timeout=10, max_containers=1)
async def aforks(how: str) -> tuple[int, int]:
    pid = os.fork()
    if pid == 0:
        if how == "await":
            await asyncio.sleep(30)
        child(how)
        return 0, 0
    await asyncio.sleep(0.05)
    return os.getpid(), exit_code(pid)


@app.function(timeout=10, max_containers=1)
def items(how: str) -> Iterator[tuple[int, int]]:
    yield 0, 0
    pid = os.fork()
    if pid == 0:
        if how == "yield":
            yield 0, 0
        child(how)
        return
    yield os.getpid(), exit_code(pid)


@app.function(timeout=10, max_containers=1)
async def aitems(how: str) -> AsyncIterator[tuple[int, int]]:
    yield 0, 0
    pid = os.fork()
    if pid == 0:
        if how == "yield":
            yield 0, 0
        child(how)
        return
    await asyncio.sleep(0.05)
    yield os.getpid(), exit_code(pid)


@app.function(timeout=10, max_containers=1)
def forks_in_thread(how: str) -> tuple[int, int]:
    codes: list[int] = []

    def work() -> None:
        pid = os.fork()
        if pid == 0:
            child(how)
        else:
            codes.append(exit_code(pid))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return os.getpid(), codes[0]


@app.function(timeout=10)
def handlers_of_child() -> list[str]:
    """How a child would take the signals that end processes."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        found = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)]
        os.write(writing, ",".join(str(int(one is signal.SIG_DFL)) for one in found).encode())
        os._exit(0)
    exit_code(pid)
    return os.read(reading, 100).decode().split(",")


@app.function(timeout=30)
def pool(method: str) -> list[int]:
    """`with Pool` terminates its processes by SIGTERM."""
    with multiprocessing.get_context(method).Pool(2) as made:
        return made.map(square, range(5))


@app.function(timeout=30)
def executor(method: str) -> list[int]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as made:
        return list(made.map(square, range(5)))


@app.function(timeout=30)
async def aexecutor(method: str) -> list[int]:
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as made:
        return await asyncio.gather(*(loop.run_in_executor(made, square, x) for x in range(5)))


def note(path: str, *pids: int) -> None:
    with open(path, "a") as file:
        file.writelines(f"{pid}\n" for pid in pids)


def daemon(path: str) -> None:
    """A process in a session of its own, whose parent has ended: as servers put themselves into the background."""
    pid = os.fork()
    if pid:
        exit_code(pid)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    note(path, os.getpid())
    time.sleep(300)
    os._exit(0)


SLEEP = ["sleep", "300"]
SHELL = """
sleep 300 & echo $! >> "$0"
setsid sleep 300 & echo $! >> "$0"
trap "" TERM
echo $$ >> "$0"
while :; do sleep 1; done
"""


def leave_behind(path: str) -> int:
    """Start programs in every way that loses them; how many there will be."""
    note(path, os.getpid(), subprocess.Popen(SLEEP).pid)
    note(path, subprocess.Popen(SLEEP, start_new_session=True).pid)
    note(path, subprocess.Popen(SLEEP, process_group=0, env={}).pid)
    note(path, subprocess.Popen(SLEEP, start_new_session=True, env={}).pid)
    note(path, os.spawnlp(os.P_NOWAIT, *SLEEP[:1], *SLEEP))
    subprocess.Popen(["sh", "-c", SHELL, path])
    daemon(path)
    forked = os.fork()
    if forked == 0:
        time.sleep(300)
        os._exit(0)
    note(path, forked)
    return 11


@app.function(timeout=2, max_containers=1, scaledown_window=1)
def leaves(path: str, end: str) -> int:
    """Leaves programs behind, and ends so."""
    count = leave_behind(path)
    while len(Path(path).read_text().split()) < count:
        time.sleep(0.01)
    if end == "exit":
        os._exit(3)
    elif end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif end == "raise":
        raise ValueError(end)
    while end == "timeout":
        try:
            time.sleep(300)
        except BaseException:  # what interrupts it does not help
            continue
    return os.getpid()


def forever() -> None:
    while True:
        time.sleep(1)


@app.function(scaledown_window=1)
def lingers(what: str) -> int:
    """Starts what the interpreter waits for at its end."""
    if what == "thread":
        threading.Thread(target=forever).start()
    else:
        multiprocessing.Process(target=forever).start()
    return os.getpid()


@app.function(timeout=60, max_containers=1)
def dies_with_child(path: str) -> int:
    """At first, its worker dies while a child of it lives on."""
    if Path(path).exists():
        return os.getpid()
    forked = os.fork()
    if forked == 0:
        os.setsid()
        time.sleep(300)
        os._exit(0)
    note(path, forked)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0
