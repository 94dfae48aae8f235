from __future__ import annotations

import asyncio
import threading

import pytest
from inputs import running

from busfn.context import (
    WORKER_VARIABLE,
    CurrentInput,
    current_function_call_id,
    current_input,
    current_input_id,
    is_local,
)

OUTER = CurrentInput("call1", 0, ("a.f",))
INNER = CurrentInput("call2", 7, ("a.f", "a.g"))


def test_outside_a_worker_there_is_no_input():
    assert (current_input(), current_input_id(), current_function_call_id()) == (None, None, None)


def test_a_running_input_knows_its_ids():
    with running(INNER):
        assert current_input() is INNER
        assert current_input_id() == "call2-7"
        assert current_function_call_id() == "a.g.call2"


def test_after_an_input_the_one_around_it_runs_again():
    with running(OUTER):
        with running(INNER):
            assert current_input() is INNER
        assert current_input() is OUTER
    assert current_input() is None


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_input_that_fails_runs_no_longer(error):
    with pytest.raises(error), running(OUTER):
        raise error
    assert current_input() is None


def test_a_thread_starts_without_an_input():
    seen = []
    with running(OUTER):
        thread = threading.Thread(target=lambda: seen.append(current_input()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_tasks_run_inputs_of_their_own():
    async def run(current: CurrentInput, barrier: asyncio.Barrier) -> CurrentInput | None:
        with running(current):
            await barrier.wait()
            return current_input()

    async def both() -> list[CurrentInput | None]:
        barrier = asyncio.Barrier(2)
        return await asyncio.gather(run(OUTER, barrier), run(INNER, barrier))

    assert asyncio.run(both()) == [OUTER, INNER]


def test_a_task_inherits_the_input_that_started_it():
    async def child() -> CurrentInput | None:
        return current_input()

    async def parent() -> CurrentInput | None:
        with running(OUTER):
            task = asyncio.create_task(child())
        assert current_input() is None
        return await task

    assert asyncio.run(parent()) is OUTER


def test_a_process_is_local_unless_it_is_a_worker(monkeypatch):
    monkeypatch.delenv(WORKER_VARIABLE, raising=False)
    assert is_local()
    monkeypatch.setenv(WORKER_VARIABLE, "")
    assert not is_local()
    monkeypatch.setenv(WORKER_VARIABLE, "w1")
    assert not is_local()
