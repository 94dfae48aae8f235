"""How a body may end without a result: what it lets out is told, and called a timeout only if it was one."""

from __future__ import annotations

from pathlib import Path

import calls
import pytest

from busfn import errors

EXITS = ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "CancelledError"]


def runs(folder: str, how: str) -> int:
    return len(list(Path(folder).glob(f"{how}-*")))


@pytest.mark.parametrize("how", ["helper", "itself", "all tasks", *EXITS])
def test_body_cancelled_by_itself_is_no_timeout(folder: str, how: str) -> None:
    name = how if how in EXITS else "CancelledError"
    for function in (calls.aends, calls.ends):
        with pytest.raises(errors.RemoteError, match=name) as caught:
            function.remote(folder, how)
        assert not isinstance(caught.value, errors.FunctionTimeoutError)
    assert runs(folder, how) == 2  # it is not tried again


def test_a_task_of_a_body_that_exits_does_not_take_the_worker_down(folder: str) -> None:
    with pytest.raises(errors.RemoteError, match="SystemExit: from a task"):
        calls.aends.remote(folder, "task exits")
    assert runs(folder, "task exits") == 1


@pytest.mark.parametrize("how", ["StopIteration", "StopAsyncIteration", "TimeoutError", "ValueError"])
def test_what_a_body_raises_is_told_and_tried_again(folder: str, how: str) -> None:
    for function in (calls.aends, calls.ends):
        with pytest.raises(Exception, match=r"from the body|raised Stop") as caught:
            function.remote(folder, how)
        assert not isinstance(caught.value, errors.FunctionTimeoutError)
    assert runs(folder, how) == 6


def test_a_cancellation_in_a_map_is_the_failure_of_that_input(folder: str) -> None:
    hows = ["helper", "CancelledError", "itself"]
    results = list(calls.aends.starmap([(folder, how) for how in hows], return_exceptions=True))
    assert [type(result) for result in results] == [errors.RemoteError] * 3


def test_a_task_that_was_left_cancelled_is_not_the_next_inputs() -> None:
    [worker] = set(calls.apid_after.map(["plain"] * 50))
    hows = ["plain", "cancelled", "group", "cancelled", "plain", "group"] * 50
    assert set(calls.apid_after.map(hows)) == {worker}
    assert {calls.apid_after.remote(how) for how in hows[:6]} == {worker}


def test_our_own_cancellation_is_a_timeout() -> None:
    with pytest.raises(errors.FunctionTimeoutError, match=r"longer than its timeout of 0.5 s"):
        calls.aswallows.remote("groups")
    with pytest.raises(errors.FunctionTimeoutError, match=r"longer than its timeout of 0.5 s"):
        calls.atoo_long.remote(20.0)


def test_a_body_may_answer_its_timeout() -> None:
    for function in (calls.aswallows, calls.swallows):
        assert function.remote("ends well") == "ends well"
        with pytest.raises(ValueError, match="cleaned up"):
            function.remote("fails")


def test_a_timeout_of_the_bodys_own_is_its_own() -> None:
    with pytest.raises(TimeoutError, match="the body's own") as caught:
        calls.raises_timeout.remote()
    assert not isinstance(caught.value, errors.Error)
