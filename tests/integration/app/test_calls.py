"""`remote`, `local` and friends against real workers."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import os
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import calls
import pytest

import busfn
from busfn import errors

VALUES: list[Any] = [
    None, True, 0, -(2**70), 1.5, "text \ud800", b"bytes", [1, [2]], (1, (2,)), {"a": {1: "b"}}, {1, 2}, frozenset({3}),
    1j, dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), dt.timedelta(days=1, microseconds=1), bytearray(b"x"), range(3), len,
]  # fmt: skip


def test_a_call_runs_in_another_process() -> None:
    assert calls.pid.remote() != os.getpid()


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_as_they_went(value: Any) -> None:
    back = calls.identity.remote(value)
    assert back == value
    assert type(back) is type(value)


def test_arguments_reach_their_parameters() -> None:
    assert calls.keywords.remote(1) == [1, [], 2, {}]
    assert calls.keywords.remote(1, 3, 4, b=5, c=6) == [1, [3, 4], 5, {"c": 6}]


def test_an_object_of_the_apps_own_class_is_one_on_the_other_side() -> None:
    same, back = calls.opaque.remote(calls.Opaque(4))
    assert same
    assert isinstance(back, calls.Opaque)
    assert back.value == 5


def test_twenty_mebibytes_make_the_round_trip() -> None:
    value = os.urandom(1 << 20) * 20
    assert calls.identity.remote(value) == value


@pytest.mark.parametrize("shape", [lambda x: x, lambda x: [x], lambda x: [1, x], lambda x: [x, x], lambda x: {"a": x}])
def test_large_bytes_come_back_wherever_they_stand(shape: Callable[[bytes], Any]) -> None:
    value = shape(os.urandom(600_000))
    assert calls.identity.remote(value) == value
    assert calls.keywords.remote(1, value, b=value) == [1, [value], value, {}]
    assert calls.keywords.remote(1, 2, value) == [1, [2, value], 2, {}]
    assert list(calls.identity.map([value])) == [value]


def test_async_bodies_give_their_results() -> None:
    assert calls.asquare.remote(7) == 49


def test_two_bodies_run_at_the_same_time(folder: str) -> None:
    first, second = calls.meet.starmap([(folder, 1, 2), (folder, 2, 1)])
    assert first != second


def test_calls_from_many_threads_get_their_own_answers() -> None:
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(calls.square.remote, range(200))) == [i * i for i in range(200)]


def test_a_body_knows_that_it_is_remote_and_which_input_it_runs() -> None:
    facts = calls.facts.remote()
    assert facts["local"] is False
    assert facts["call"].startswith("calls.facts.")
    assert facts["input"] == f"{facts['call'].rpartition('.')[2]}-0"
    assert busfn.is_local()
    assert busfn.current_input_id() is None
    assert busfn.current_function_call_id() is None


def test_inputs_of_a_map_share_their_call_and_differ_in_their_ids() -> None:
    facts = list(calls.facts.starmap([()] * 3))
    assert len({fact["call"] for fact in facts}) == 1
    assert len({fact["input"] for fact in facts}) == 3


def test_env_of_the_decorator_is_set_in_the_worker_only() -> None:
    assert calls.color.remote() == "blue"
    assert "CALLS_COLOR" not in os.environ


def test_aio_does_not_block_the_loop() -> None:
    async def main() -> list[int]:
        return list(await asyncio.gather(*(calls.square.remote.aio(i) for i in range(50))))

    assert asyncio.run(main()) == [i * i for i in range(50)]


def test_a_blocking_call_inside_a_loop_works_and_warns() -> None:
    async def main() -> int:
        with pytest.warns(errors.AsyncUsageWarning, match=r"await square\.remote\.aio"):
            return calls.square.remote(3)

    assert asyncio.run(main()) == 9


def test_the_error_of_a_body_is_raised_with_class_attributes_and_remote_frames() -> None:
    with pytest.raises(calls.Custom) as caught:
        calls.fail.remote("no")
    assert caught.value.args == ("no", "the detail")
    assert caught.value.detail == "the detail"
    printed = "".join(traceback.format_exception(caught.value))
    assert "in fail" in printed
    assert "raise Custom(message" in printed
    assert "busfn_services" not in printed


def test_the_cause_of_an_error_is_kept() -> None:
    with pytest.raises(ValueError, match="outer") as caught:
        calls.chained.remote()
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.__cause__.args == ("missing",)


def test_sys_exit_in_a_body_is_an_error_of_the_call() -> None:
    with pytest.raises(errors.RemoteError, match=r"sys\.exit"):
        calls.leaves.remote()
    assert calls.square.remote(2) == 4


def test_a_wrong_call_fails_with_the_type_error_that_the_function_raised() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        calls.square.remote()  # type: ignore[call-arg]


def test_an_argument_that_cannot_be_sent_is_refused_here_with_its_place() -> None:
    with pytest.raises(errors.SerializationError, match=r"args\[0\]\['deep'\]\[1\].*lock"):
        calls.identity.remote({"deep": [1, threading.Lock()]})


def test_a_result_that_cannot_be_sent_is_the_failure_of_its_call() -> None:
    with pytest.raises(errors.SerializationError, match="lock"):
        calls.returns_lock.remote()


def test_a_generator_as_a_result_is_refused_with_advice() -> None:
    with pytest.raises(errors.InvalidError, match="is_generator=True"):
        calls.returns_generator.remote()


def test_local_runs_here() -> None:
    assert calls.pid.local() == os.getpid()
    assert asyncio.run(calls.asquare.local(3)) == 9


def test_get_raw_f_is_the_function_itself() -> None:
    raw = calls.square.get_raw_f()
    assert raw(3) == 9
    assert calls.square.get_raw_f() is raw
    assert not isinstance(raw, busfn.Function)


def test_a_handle_is_not_callable_and_says_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"'Function' object is not callable.*square\.remote"):
        calls.square(1)


def test_hydrate_returns_the_handle() -> None:
    assert calls.square.hydrate() is calls.square
    assert asyncio.run(calls.square.hydrate.aio()) is calls.square
    assert calls.square.object_id == "busfn.main.fn.calls.square"


def test_a_handle_can_be_an_argument() -> None:
    assert calls.calls_back.remote(calls.square, 5) == 25


def test_remote_on_a_generator_names_remote_gen() -> None:
    with pytest.raises(errors.InvalidError, match="remote_gen"):
        calls.count.remote(3)


def test_the_app_cannot_be_run_twice_at_once() -> None:
    with pytest.raises(errors.InvalidError, match="already running"), calls.app.run():
        pass


def test_what_bodies_print_arrives_with_the_functions_name(
    monkeypatch: pytest.MonkeyPatch, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", printed)
    calls.shout.remote("hear me")
    eventually(lambda: "hear me" in printed.getvalue() and "HEAR ME" in printed.getvalue())
    assert "shout | hear me" in printed.getvalue()
    assert "shout | HEAR ME" in printed.getvalue()


def test_a_worker_serves_only_once_when_told_so() -> None:
    pids = [calls.once.remote() for _ in range(3)]
    assert len(set(pids)) == 3


def test_a_map_of_a_single_use_function_gives_every_input_a_process_of_its_own() -> None:
    pids = list(calls.once.starmap([()] * 4))
    assert len(set(pids)) == 4


def test_nested_calls_get_further_workers() -> None:
    assert calls.nested.remote(6) == 6


def test_a_map_inside_a_body() -> None:
    assert calls.nested_map.remote(50) == [i * i for i in range(50)]


def test_a_call_that_could_never_be_served_is_refused() -> None:
    assert calls.selfish.remote(0) == 0
    with pytest.raises(errors.ExecutionError, match="max_containers"):
        calls.selfish.remote(1)
