"""Handles of an included app belong to the app that runs; what is looked up is found where an app runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import including
import pytest

from busfn import App, Function, FunctionCall, errors


@pytest.fixture(scope="module", autouse=True)
def outer(running: None) -> Iterator[None]:
    with including.outer.run():
        yield


def test_included_handle_is_called_in_the_app_that_runs() -> None:
    assert including.bar.remote(1) == "bar 1"
    assert including.calls_bar.remote(2) == "bar 2"
    assert list(including.bar.map(range(2))) == ["bar 0", "bar 1"]
    assert including.bar.spawn(3).get(timeout=20) == "bar 3"
    assert including.bar.app_name == "outer"


def test_a_name_that_clashes_is_not_mistaken_for_the_included_one() -> None:
    assert including.outer_clash.remote() == "outer's"
    with pytest.raises(errors.ExecutionError, match="not running"):
        including.clash.remote()


def test_of_two_apps_that_include_it_and_run_the_latest_is_called() -> None:
    with including.twin.run():
        assert (including.bar.app_name, including.bar.remote(4)) == ("twin", "bar 4")
        assert including.clash.remote() == "inner's"
        with including.inner.run():
            assert (including.bar.app_name, including.bar.remote(5)) == ("inner", "bar 5")
            assert including.calls_bar.remote(6) == "bar 6"
        assert (including.bar.app_name, including.bar.remote(7)) == ("twin", "bar 7")
    assert (including.bar.app_name, including.bar.remote(8)) == ("outer", "bar 8")


def test_an_app_that_was_looked_up_cannot_be_included() -> None:
    known = App("known")
    known.functions["f"] = Function.from_name("known", "f")
    with pytest.raises(errors.InvalidError, match="looked up"):
        App("other").include(known)


def test_look_up_in_run_finds_the_functions_and_calls_of_the_app_that_runs() -> None:
    handle = Function.from_name("outer", "bar")
    assert (handle.remote(1), list(handle.map([2]))) == ("bar 1", ["bar 2"])
    call = FunctionCall.from_id(including.bar.spawn(3).object_id)
    assert (call.get(timeout=20), call.num_inputs()) == ("bar 3", 1)


def test_it_does_in_bodies_in_threads_and_in_coroutines() -> None:
    assert including.looks_up.remote("outer", "bar", 1) == "bar 1"
    call = including.bar.spawn(2)
    assert including.finds.remote(call.object_id) == "bar 2"
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(Function.from_name("outer", "bar").remote(3)))
    thread.start()
    thread.join(20)
    assert found == ["bar 3"]
    assert asyncio.run(Function.from_name("outer", "bar").remote.aio(4)) == "bar 4"


def test_each_of_two_runs_with_servers_of_their_own_is_looked_up_on_its_bus() -> None:
    with including.twin.run():
        assert Function.from_name("outer", "calls_bar").remote(1) == "bar 1"
        assert Function.from_name("twin", "bar").remote(2) == "bar 2"
        call = including.calls_bar.spawn(3)
        assert FunctionCall.from_id(call.object_id).get(timeout=20) == "bar 3"


def test_another_environment_is_looked_up_on_the_same_bus() -> None:
    handle = Function.from_name("outer", "bar", environment_name="elsewhere")
    with pytest.raises(errors.Error):
        handle.remote(1)
    with including.twin.run(env="elsewhere"):
        assert Function.from_name("twin", "bar", environment_name="elsewhere").remote(2) == "bar 2"


def test_a_handle_that_was_looked_up_can_be_sent_before_it_was_used() -> None:
    import cloudpickle

    handle = cloudpickle.loads(cloudpickle.dumps(Function.from_name("outer", "bar", environment_name="main")))
    assert (repr(handle), handle.remote(1)) == ("busfn.Function.from_name('outer', 'bar')", "bar 1")
