"""Call graphs and lists of calls, through the SDK and the command line."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
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
    begin = dt.datetime.now().astimezone() - dt.timedelta(seconds=1)
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
    assert [(row["inputs"], row["attempts"]) for row in rows] == [(1, 0), (1, 0), (2, 1), (1, 1)]
    assert all(begin.isoformat() <= row["queued_at"] for row in rows)
    assert rows[1]["started_at"] is rows[1]["ended_at"] is rows[1]["seconds"] is None
    for row in rows[2:]:
        assert row["queued_at"] <= row["ended_at"]
        assert 0 < row["seconds"] < 60
    line = busfn("call", "list", "--function", "fails", "-n", "1").split()
    assert line[:4] == [failing.object_id, "failed", "2/2", "1"]
    assert busfn("call", "list", "--app", "nothing") == ""
    Path(path).touch()
    finished(blocker)


def test_calls_with_idempotency_keys_are_listed_by_time_like_all_others(path: str) -> None:
    begin = time.time()
    made: list[FunctionCall[object]] = []
    for n in range(6):
        function = durable.square.with_options(idempotency_key=f"{path} {n}") if n % 2 else durable.square
        made.append(function.spawn(n))
        finished(made[-1])
        time.sleep(0.002)  # what is stored tells milliseconds
    sized = durable.square.spawn_map([1, 2])
    list(sized.iter())
    blocker = durable.held.spawn(path)
    until(Path(path + ".started").exists)
    queued = durable.held.with_options(idempotency_key=f"{path} queued").spawn(path)
    rows = json.loads(busfn("call", "list", "--app", "durable", "--limit", "9", "--json"))
    expected = [call.object_id for call in (*made, sized, blocker, queued)]
    assert [row["id"] for row in rows] == expected[::-1]
    assert all(dt.datetime.fromisoformat(row["queued_at"]).timestamp() > begin - 1 for row in rows)
    Path(path).touch()
    finished(blocker)
    finished(queued)


def test_attempts_and_times_are_in_every_list(path: str) -> None:
    call = durable.flaky.spawn(path, 5)  # four attempts are allowed
    with pytest.raises(ValueError, match="attempt"):
        call.get(timeout=30)
    [row] = json.loads(busfn("call", "list", "--function", "flaky", "-n", "1", "--json"))
    assert (row["id"], row["state"], row["attempts"], row["failed"]) == (call.object_id, "failed", 4, 1)
    assert row["queued_at"] < row["started_at"] < row["ended_at"]
    [node] = json.loads(busfn("call", "graph", call.object_id, "--json"))
    assert (node["attempts"], node["ended_at"]) == (4, row["ended_at"])
    assert "attempts 4" in busfn("call", "graph", call.object_id)
    [letter] = json.loads(busfn("dead", "list", "--call", call.object_id.rpartition(".")[2], "--json"))
    assert (letter["attempts"], letter["queued_at"]) == (4, row["queued_at"])
    assert letter["queued_at"] < letter["ended_at"]
    done = durable.square.spawn(3)
    finished(done)
    got = json.loads(busfn("call", "get", done.object_id, "--json"))
    assert (got["result"], got["error"], got["status"], got["attempts"]) == ("9", None, "SUCCESS", 1)
    assert got["seconds"] > 0
