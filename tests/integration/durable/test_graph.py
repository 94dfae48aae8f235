"""Call graphs and lists of calls, through the SDK and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import durable
import pytest
from sites import until

from busfn import FunctionCall, InputInfo, InputStatus, errors


def busfn(*args: str) -> str:
    command = [str(Path(sys.executable).parent / "busfn"), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def named(inputs: tuple[InputInfo, ...] | list[InputInfo]) -> list[Any]:
    """The functions and states of a graph, without ids."""
    return [(info.function_name, info.status.name, *named(info.children)) for info in inputs]


def finished(call: FunctionCall[Any]) -> Any:
    return call.get(timeout=30)


def test_a_graph_shows_who_spawned_whom() -> None:
    call = durable.grandparent.spawn(3)
    child = FunctionCall.from_id(finished(call))
    for leaf in finished(child):
        finished(FunctionCall.from_id(leaf))
    [root] = call.get_call_graph()
    leaves = [("square", "SUCCESS")] * 3
    assert named([root]) == [("grandparent", "SUCCESS", ("parent", "SUCCESS", *leaves))]
    assert root.function_call_id == call.object_id
    assert root.input_id == call.object_id.rpartition(".")[2] + "-0"
    assert root.module_name == "durable"
    assert root.task_id.startswith("w")
    assert root.children[0].function_call_id == child.object_id


def test_a_graph_has_all_inputs_with_their_states(path: str) -> None:
    many = durable.fails.spawn_map(range(5))
    for index in (0, 1, 2, 4):
        many.get(index=index, timeout=30)
    with pytest.raises(KeyError):
        many.get(index=3, timeout=30)
    assert [info.status for info in many.get_call_graph()] == [
        InputStatus.SUCCESS, InputStatus.SUCCESS, InputStatus.SUCCESS, InputStatus.FAILURE, InputStatus.SUCCESS,
    ]  # fmt: skip
    slow = durable.slow.spawn(path)
    with pytest.raises(errors.FunctionTimeoutError):
        finished(slow)
    assert named(slow.get_call_graph()) == [("slow", "TIMEOUT")]
    gate = path + ".gate"
    blocker, queued = durable.held.spawn(gate), durable.held.spawn(gate)
    assert named(queued.get_call_graph()) == [("held", "PENDING")]
    queued.cancel()
    assert named(queued.get_call_graph()) == [("held", "TERMINATED")]
    Path(gate).touch()
    finished(blocker)


def test_call_graph_on_the_command_line() -> None:
    call = durable.parent.spawn(2)
    for leaf in finished(call):
        finished(FunctionCall.from_id(leaf))
    lines = busfn("call", "graph", call.object_id).splitlines()
    assert [line.split()[0] for line in lines] == ["parent", "square", "square"]
    assert [line.startswith("  ") for line in lines] == [False, True, True]
    [root] = json.loads(busfn("call", "graph", call.object_id, "--json"))
    assert (root["status"], len(root["children"])) == ("SUCCESS", 2)


def test_call_list_on_the_command_line(path: str) -> None:
    done = durable.square.spawn(2)
    finished(done)  # one after the other: ids of one millisecond have no order
    failing = durable.fails.spawn_map([1, 3])
    with pytest.raises(KeyError):
        failing.get(index=1, timeout=30)
    failing.get(index=0, timeout=30)
    blocker = durable.held.spawn(path)
    until(Path(path + ".started").exists)
    queued = durable.held.spawn(path)
    queued.cancel()
    rows = json.loads(busfn("call", "list", "--app", "durable", "--limit", "4", "--json"))
    assert [(row["id"], row["state"], row["results"], row["failed"]) for row in rows] == [
        (queued.object_id, "cancelled", 0, 0),
        (blocker.object_id, "queued", 0, 0),
        (failing.object_id, "failed", 2, 1),
        (done.object_id, "done", 1, 0),
    ]
    assert busfn("call", "list", "--function", "fails", "-n", "1").split()[:2] == [failing.object_id, "failed"]
    assert busfn("call", "list", "--app", "nothing") == ""
    Path(path).touch()
    finished(blocker)
