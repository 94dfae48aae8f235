"""Endless tasks: faults of items are isolated, those of the loop are told to the event loop, and ages can be seen."""

from __future__ import annotations

import ast
import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from busfn.concurrency.loops import MAX_LOGGED, Faults, LoopTask, Tasks, every, isolated, states, turns
from busfn_services.process import EXIT_FAULT

pytestmark = pytest.mark.anyio

logger = logging.getLogger("test.loops")
ROOT = Path(__file__).parents[3]


async def test_a_fault_of_one_item_leaves_the_others_alone_and_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []
    enough = asyncio.Event()

    async def work() -> None:
        async for _ in every(0.001):
            for item in range(3):
                with isolated(f"item {item}"):
                    if item == 1:
                        raise ValueError("broken")
                    seen.append(item)
            if len(seen) > 40:
                enough.set()

    tasks = Tasks(logger)
    task = tasks.loop(work(), "items")
    await asyncio.wait_for(enough.wait(), 10)
    assert set(seen) == {0, 2}
    [state] = [one for one in states(time.monotonic()) if one.name == "items"]
    assert state.fault == "item 1: ValueError: broken"
    assert len([record for record in caplog.records if "item 1" in record.getMessage()]) == MAX_LOGGED
    await tasks.cancel()
    assert task.cancelled()
    assert states(time.monotonic()) == []


async def test_an_unknown_fault_of_the_loop_goes_to_the_event_loop_and_to_its_owner() -> None:
    told: list[dict[str, Any]] = []
    faults: list[Exception] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def work() -> None:
        async for _ in every(0.001):
            raise ValueError("unknown")

    task = LoopTask(work(), "bad", faults=Faults(logger), on_fault=faults.append)
    with pytest.raises(ValueError, match="unknown"):
        await task
    await asyncio.sleep(0)
    assert told[0]["task"] is task
    assert told[0]["message"] == "the loop 'bad' has failed"
    assert faults == [task.exception()]


async def test_a_turn_that_hangs_grows_old_and_a_rest_does_not() -> None:
    async def hangs() -> None:
        async for _ in every(0.001):
            await asyncio.Event().wait()

    async def rests() -> None:
        async for _ in turns(asyncio.Event().wait):
            pass

    tasks = Tasks(logger)
    hung, resting = tasks.loop(hangs(), "hung", limit=5.0), tasks.loop(rests(), "resting")
    await asyncio.sleep(0.01)
    later = time.monotonic() + 10
    assert hung.age(later) >= 10
    assert resting.age(later) == 0
    found = states(later)
    assert [(state.name, state.age > state.limit) for state in found] == [("hung", True), ("resting", False)]
    await tasks.cancel()


async def test_of_loops_with_one_name_the_one_that_is_worst_off_is_shown() -> None:
    started = asyncio.Event()

    async def hangs(seconds: float) -> None:
        async for _ in every(seconds):
            started.set()

    tasks = Tasks(logger)
    tasks.loop(hangs(1000.0), "pool", "a.f")
    tasks.loop(hangs(0.5), "pool", "b.g")
    await started.wait()
    [state] = [one for one in states(time.monotonic() + 100) if one.name.startswith("pool")]
    assert state.name == "pool b.g"
    await tasks.cancel()


async def test_what_a_spawned_task_raises_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise OSError("no more descriptors")

    tasks = Tasks(logger)
    with pytest.raises(OSError):
        await tasks.spawn(fails(), "a start")
    await asyncio.sleep(0)
    assert tasks.faults.recent(time.monotonic()) == "a start: OSError: no more descriptors"
    assert "a start" in caplog.text


def test_faults_are_logged_at_a_bounded_rate_and_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults(logger)
    for number in range(1000):
        faults.note(f"item {number}", ValueError("x"))
    assert len(caplog.records) == MAX_LOGGED
    now = time.monotonic()
    assert faults.recent(now) == "item 999: ValueError: x"
    assert faults.recent(now + 1000) == ""


SERVICE = """
import asyncio, sys
from busfn.concurrency.loops import Tasks, every
from busfn_services.process import run_service
import logging

async def work():
    async for _ in every(0.01):
        raise KeyError("nobody expected this")

async def service(stop):
    Tasks(logging.getLogger()).loop(work(), "scan")
    await stop.wait()
    return 0

sys.exit(run_service(service))
"""


def test_a_service_whose_loop_fails_ends_with_the_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", SERVICE], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == EXIT_FAULT
    assert "the loop 'scan' has failed" in done.stderr
    assert "nobody expected this" in done.stderr
    assert "Traceback" in done.stderr


# Every endless loop that waits is one of ours, or says beside its head how it ends.

CONDITIONS = {"connected", "running", "open"}


def endless_loops(source: str) -> Iterator[ast.While]:
    """``while`` loops of coroutines that nothing but their body can end, and that wait inside."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.AsyncFunctionDef):
            for node in own_nodes(function):
                if isinstance(node, ast.While) and endless(node.test) and any(map(waits, own_nodes(node))):
                    yield node


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What is below, inner functions left out."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from own_nodes(child)


def endless(test: ast.expr) -> bool:
    """``while True``, and conditions on what others change: ``while not self._closed``, ``while bus.connected``."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return isinstance(test.operand, ast.Attribute)
    return (isinstance(test, ast.Constant) and bool(test.value)) or (
        isinstance(test, ast.Attribute) and test.attr in CONDITIONS
    )


def waits(node: ast.AST) -> bool:
    return isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith)


def modules() -> list[Path]:
    return [path for room in ("busfn", "services", "cli") for path in sorted((ROOT / room).rglob("*.py"))]


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_endless_loop_takes_turns_or_says_how_it_ends(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    unexplained = [loop.lineno for loop in endless_loops(source) if "# ends: " not in lines[loop.lineno - 1]]
    assert not unexplained, (
        f"{path}, lines {unexplained}: an endless loop has to be a `LoopTask` that takes its turns from"
        " `busfn.concurrency.loops`, or to say `# ends: ...` beside its `while`"
    )


def test_the_rule_sees_what_it_is_meant_to_see() -> None:
    source = "async def f(self):\n    while True:\n        await g()\n    while not self.closed:\n        await g()\n"
    assert [loop.lineno for loop in endless_loops(source)] == [2, 4]
    others = "async def f(x):\n    while x > 1:\n        await g()\n    while True:\n        x += 1\n"
    assert list(endless_loops(others)) == []
