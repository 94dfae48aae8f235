"""Children that bodies fork are programs of the user's own: they never go on as a second worker."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import programs
import pytest
from processes import wait_all_gone, wait_gone

from busfn import errors

ENDS = {"exec": 1, "exit": 7, "exit with a word": 1, "raise": 1, "interrupt": 1, "return": 0}
"""Ways of a child to come out of its body, and its exit code then."""
WAYS: dict[str, Callable[[str], tuple[int, int]]] = {
    "plain": programs.forks.remote,
    "map": lambda how: next(iter(programs.forks.map([how]))),
    "async": programs.aforks.remote,
    "generator": lambda how: list(programs.items.remote_gen(how))[-1],
    "async generator": lambda how: list(programs.aitems.remote_gen(how))[-1],
}


@pytest.fixture(scope="module", autouse=True)
def serving() -> Iterator[None]:
    with programs.app.run():
        yield


@pytest.mark.parametrize("way", WAYS)
def test_forked_child_that_leaves_its_body_ends(way: str) -> None:
    """Three times with each end: the worker is the same all along, and answers."""
    call = WAYS[way]
    workers: set[int] = set()
    for _ in range(3):
        for how, expected in ENDS.items():
            worker, code = call(how)
            assert code == expected, how
            workers.add(worker)
    assert len(workers) == 1


@pytest.mark.parametrize("way", ["generator", "async generator"])
def test_forked_child_that_yields_ends(way: str) -> None:
    assert [WAYS[way]("yield")[1] for _ in range(3)] == [0, 0, 0]


def test_forked_child_that_awaits_ends_and_leaves_the_loop_alone() -> None:
    assert [programs.aforks.remote("await")[1] for _ in range(3)] == [1, 1, 1]

    async def together() -> list[tuple[int, int]]:
        return await asyncio.gather(*(programs.aforks.remote.aio("await") for _ in range(10)))

    assert {code for _, code in asyncio.run(together())} == {1}


def test_forked_child_of_a_thread_ends_with_it() -> None:
    assert programs.forks_in_thread.remote("return")[1] == 0
    assert programs.forks_in_thread.remote("raise")[0] == programs.forks_in_thread.remote("exit")[0]


def test_a_timeout_holds_after_a_child_was_forked(folder: str) -> None:
    """The table of the worker is not the child's to write to."""
    assert programs.forks.remote("return")[1] == 0
    with pytest.raises(errors.FunctionTimeoutError):
        programs.leaves.remote(f"{folder}/pids", "timeout")


def test_a_child_takes_signals_as_any_program() -> None:
    assert programs.handlers_of_child.remote() == ["1", "1", "1"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_multiprocessing_work_in_bodies(method: str) -> None:
    expected = [0, 1, 4, 9, 16]
    for _ in range(2):
        assert programs.pool.remote(method) == expected
        assert programs.executor.remote(method) == expected
        assert programs.aexecutor.remote(method) == expected


def test_the_death_of_a_worker_is_noticed_at_once_though_a_child_of_it_lives(folder: str) -> None:
    """It took 31 to 42 s: the child held the connections of its parent."""
    for turn in range(2):
        path = f"{folder}/{turn}"
        began = time.monotonic()
        assert programs.dies_with_child.remote(path)
        assert time.monotonic() - began < 10
        wait_all_gone(map(int, Path(path).read_text().split()))


@pytest.mark.parametrize("end", ["kill", "exit", "timeout"])
def test_orphaned_program_is_ended_with_its_worker(folder: str, end: str) -> None:
    """Once an input is given up, all that its workers have started is ended, in whatever way it was hidden."""
    path = f"{folder}/pids"
    with pytest.raises(errors.Error):
        programs.leaves.remote(path, end)
    pids = [int(line) for line in Path(path).read_text().split()]
    assert len(pids) % 11 == 0
    wait_all_gone(pids)


@pytest.mark.parametrize("end", ["return", "raise"])
def test_orphaned_program_is_ended_when_its_worker_leaves(folder: str, end: str) -> None:
    """Its worker is scaled down a second after its last input."""
    path = f"{folder}/pids"
    try:
        programs.leaves.remote(path, end)
    except ValueError:
        assert end == "raise"
    pids = [int(line) for line in Path(path).read_text().split()]
    assert len(pids) == 11
    wait_all_gone(pids, 20)


@pytest.mark.parametrize("what", ["thread", "process"])
def test_a_worker_that_leaves_does_not_wait_for_what_never_ends(what: str) -> None:
    wait_gone(programs.lingers.remote(what), 13)  # it was killed after 16 s, as deaf


IMPORTED = """
    import os, sys
    import busfn

    app = busfn.App("forker")
    child = 1 if busfn.is_local() else os.fork()

    @app.function()
    def f(x: int) -> int:
        return x

    if child == 0 and os.environ["HOW"] == "exit":
        sys.exit(7)
    elif child == 0 and os.environ["HOW"] == "raise":
        raise ValueError("of the child")
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child > 1 else 0

    @app.function()
    def code_of_child() -> int:
        return code
"""


@pytest.mark.parametrize(("how", "code"), [("exit", 7), ("raise", 1), ("return", 0)])
def test_forked_child_of_an_import_ends_with_it(folder: str, how: str, code: int) -> None:
    Path(folder, "forker.py").write_text(textwrap.dedent(IMPORTED))
    command = [Path(sys.executable).parent / "busfn", "run", "forker.py::code_of_child"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "HOW": how}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{code}\n"), done.stderr
