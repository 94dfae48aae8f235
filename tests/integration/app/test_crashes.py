"""What happens when workers die, hang or take too long."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import calls
import pytest

from busfn import errors

Eventually = Callable[[Callable[[], bool]], None]


def runs(folder: str, name: object) -> int:
    """How often a body left this mark."""
    return len(list(Path(folder).glob(f"{name}.*")))


def test_a_call_is_run_again_when_its_worker_is_killed(folder: str) -> None:
    assert calls.dies.remote(folder, 1, times=2) == 1
    assert runs(folder, 1) == 3


def test_a_call_that_keeps_killing_workers_is_given_up(folder: str) -> None:
    with pytest.raises(errors.InternalFailure, match=r"calls\.dies.*3 workers were lost"):
        calls.dies.remote(folder, 1, times=99)
    assert runs(folder, 1) == 3


def test_a_map_survives_one_input_that_kills_its_workers(folder: str) -> None:
    rows = [(folder, x, 99 if x == 20 else 0) for x in range(40)]
    results = list(calls.dies.starmap(rows, return_exceptions=True))
    assert isinstance(results[20], errors.InternalFailure)
    assert [r for r in results if not isinstance(r, Exception)] == [x for x in range(40) if x != 20]
    assert runs(folder, 20) == 3


def test_what_a_dying_worker_had_not_read_does_not_wait_for_its_lease(folder: str) -> None:
    """A lease takes 30 s; one in three of these maps waited for it when nobody watched what goes to a worker."""

    async def map_with_deaths(turn: str) -> None:
        Path(folder, turn).mkdir()
        rows = [(f"{folder}/{turn}", x, 1 if x == 20 else 0) for x in range(40)]
        async with asyncio.timeout(20):
            assert [x async for x in calls.dies.starmap.aio(rows)] == list(range(40))

    for turn in range(8):
        asyncio.run(map_with_deaths(str(turn)))


def test_a_worker_killed_in_the_middle_of_a_map_costs_no_result(folder: str) -> None:
    results: list[int] = []
    for result in calls.marked.starmap((folder, x) for x in range(2000)):
        results.append(result)
        if len(results) == 500:
            os.kill(int(next(Path(folder).iterdir()).name.split(".")[1]), signal.SIGKILL)
    assert results == [2 * x for x in range(2000)]
    counted = Counter(mark.name.split(".")[0] for mark in Path(folder).iterdir())
    assert len(counted) == 2000
    assert sum(counted.values()) <= 2000 + 20  # only what ran, or was done and not yet told, runs again


def test_a_body_over_its_time_is_interrupted_and_its_worker_lives() -> None:
    with pytest.raises(errors.FunctionTimeoutError, match=r"calls\.too_long.*0\.5 s"):
        calls.too_long.remote(30)
    assert calls.too_long.remote(0) == "done"


def test_an_async_body_over_its_time_is_cancelled() -> None:
    with pytest.raises(errors.FunctionTimeoutError, match=r"calls\.atoo_long.*0\.5 s"):
        calls.atoo_long.remote(30)
    assert calls.atoo_long.remote(0) == "done"


def test_a_body_over_its_time_in_a_map_fails_alone() -> None:
    results = list(calls.too_long.map([0, 30, 0], return_exceptions=True))
    assert [results[0], results[2]] == ["done", "done"]
    assert isinstance(results[1], errors.FunctionTimeoutError)


def test_a_body_stuck_in_c_over_its_time_costs_its_worker_and_runs_once(folder: str) -> None:
    with pytest.raises(errors.FunctionTimeoutError, match=r"calls\.stuck.*killed"):
        calls.stuck.remote(folder, 60)
    assert runs(folder, "stuck") == 1


def test_a_stuck_input_of_a_map_runs_once(folder: str) -> None:
    results = list(calls.stuck.starmap([(folder, 60)], return_exceptions=True))
    assert isinstance(results[0], errors.FunctionTimeoutError)
    assert runs(folder, "stuck") == 1


def test_bodies_that_hold_the_gil_longer_than_their_lease_run_once(folder: str, full: bool) -> None:
    """A dead host is noticed after 10 s, and with `--full` the consumers' ack wait of 30 s ends, too; two bodies at
    once, one call each way."""
    answers: list[int] = []
    seconds = 40 if full else 12
    direct = threading.Thread(target=lambda: answers.append(calls.hog.remote(folder, seconds)))
    direct.start()
    answers += calls.hog.starmap([(folder, seconds)])
    direct.join()
    assert len(answers) == 2
    assert runs(folder, "hog") == 2


def test_a_call_whose_caller_has_left_is_answered_to_nobody_and_harms_nobody(
    folder: str, eventually: Eventually
) -> None:
    async def leave_early() -> None:
        task = asyncio.create_task(calls.hold.remote.aio(folder, "left"))
        await asyncio.to_thread(eventually, lambda: runs(folder, "left.started") == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave_early())
    (Path(folder) / "left.go").touch()
    (Path(folder) / "next.go").touch()
    assert calls.hold.remote(folder, "next") == "next"


def test_short_calls_are_not_trapped_behind_a_long_one(folder: str, eventually: Eventually) -> None:
    """Two single-slot workers, one of them held: everything else passes through the other."""
    held = threading.Thread(target=lambda: results.append(calls.meet.remote(folder, 1, 2)))
    results: list[int] = []
    held.start()
    eventually((Path(folder) / "1").exists)
    other = list(calls.meet.starmap([(folder, 3, 1)] * 200))
    (Path(folder) / "2").touch()
    held.join()
    assert results
    assert len(other) == 200
    assert results[0] not in other


def test_what_arrived_together_with_a_long_call_is_not_trapped_behind_it(folder: str) -> None:
    """Workers that have learned that calls are short take many at once, and one of them turns out to be long."""

    async def all_at_once(gate: str) -> None:
        long = asyncio.create_task(calls.gated.remote.aio(gate))
        short = [calls.gated.remote.aio("") for _ in range(60)]
        assert await asyncio.wait_for(asyncio.gather(*short), 20) == [""] * 60
        assert not long.done()
        Path(gate).touch()
        assert await asyncio.wait_for(long, 20) == gate

    async def turns() -> None:
        await asyncio.gather(*(calls.gated.remote.aio("") for _ in range(200)))
        for turn in range(5):
            await all_at_once(f"{folder}/gate{turn}")

    asyncio.run(turns())
