"""One id for a call, wherever it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import durable
import pytest

from busfn import FunctionCall


def test_own_call_id() -> None:
    """Inside the body it is what the caller holds, and what `from_id` takes."""
    call = durable.own_id.spawn()
    inside = call.get(timeout=30)
    assert inside == call.object_id
    assert FunctionCall.from_id(inside).get(timeout=30) == inside


def test_all_inputs_of_a_call_have_its_id() -> None:
    call = durable.own_id.spawn_map([""] * 3)
    assert [call.get(timeout=30, index=index) for index in range(3)] == [call.object_id] * 3


@pytest.mark.parametrize("call", [durable.own_id.remote, lambda: next(iter(durable.own_id.map([""])))])
def test_calls_that_are_waited_for_have_an_id_of_the_same_form(call) -> None:
    app, function, last = call().split(".")
    assert (app.partition("@")[0], function, len(last)) == ("durable", "own_id", 32)


def test_the_command_line_takes_the_same_id() -> None:
    inside = durable.own_id.spawn().get(timeout=30)
    busfn = str(Path(sys.executable).parent / "busfn")
    for command in (["call", "get", inside], ["call", "graph", inside]):
        done = subprocess.run([busfn, *command], capture_output=True, text=True, timeout=60, check=True)
        assert inside.rpartition(".")[2] in done.stdout
