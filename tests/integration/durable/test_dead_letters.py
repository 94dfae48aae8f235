"""Inputs that failed for good are kept with their reason, and can be tried again; through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import durable
import pytest

from busfn import FunctionCall, errors
from busfn.binding import DEFAULT
from busfn.ids import new_call_id
from busfn.invoke.deadletters import Filter


def busfn(*args: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "busfn"), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def letters(call: FunctionCall[Any]) -> list[dict[str, Any]]:
    done = busfn("dead", "list", "--call", call.object_id.rpartition(".")[2], "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def failed(call: FunctionCall[Any], kind: type[BaseException]) -> dict[str, Any]:
    """The dead letter of a call that ends with this error."""
    with pytest.raises(kind):
        call.get(timeout=30)
    (letter,) = letters(call)
    return letter


def test_each_way_to_fail_is_told_apart(path: str) -> None:
    never = failed(durable.never_right.spawn(path), ArithmeticError)
    assert (never["reason"], never["attempts"], never["crashes"]) == ("ArithmeticError", 3, 0)
    slow = failed(durable.slow.spawn(path), errors.FunctionTimeoutError)
    assert (slow["reason"], slow["attempts"], slow["crashes"]) == ("FunctionTimeoutError", 4, 0)
    killer = failed(durable.kills.spawn(path, 5), errors.InternalFailure)
    assert (killer["reason"], killer["attempts"], killer["crashes"]) == ("InternalFailure", 1, 3)
    lock = failed(durable.unsendable.spawn(), errors.SerializationError)
    assert (lock["reason"], lock["attempts"]) == ("SerializationError", 1)


def test_neighbours_of_a_failure_are_no_dead_letters() -> None:
    call = durable.fails.spawn_map(range(30))
    for index in (3, 13, 23):
        with pytest.raises(KeyError):
            call.get(index=index, timeout=30)
    assert call.get(index=29, timeout=30) == 29
    assert [letter["index"] for letter in letters(call)] == [3, 13, 23]


def test_a_letter_is_shown_with_its_traceback(path: str) -> None:
    letter = failed(durable.never_right.spawn(path), ArithmeticError)
    shown = busfn("dead", "show", letter["id"])
    assert shown.returncode == 0, shown.stderr
    assert "reason: ArithmeticError" in shown.stdout
    assert "in never_right" in shown.stdout


def test_a_retry_after_a_fix_answers_the_same_call(path: str) -> None:
    call = durable.flaky.spawn(path, 5)  # four attempts are allowed
    letter = failed(call, ValueError)
    done = busfn("dead", "retry", "--call", letter["call"])
    assert done.stdout == "1 queued again\n", done.stderr
    assert call.get(timeout=30) == 5
    assert letters(call) == []


def test_a_retried_input_of_a_map_is_run_alone(path: str) -> None:
    call = durable.flaky.spawn_map([path, path + "2"], [5, 1])
    with pytest.raises(ValueError, match="attempt 4"):
        call.get(index=0, timeout=30)
    busfn("dead", "retry", "--function", "flaky", "--call", call.object_id.rpartition(".")[2])
    assert call.get(index=0, timeout=30) == 5
    assert call.get(index=1, timeout=30) == 1
    assert len(Path(path + "2").read_text().splitlines()) == 1


def test_dropped_letters_are_gone() -> None:
    call = durable.fails.spawn(3)
    failed(call, KeyError)
    assert busfn("dead", "drop", "--call", call.object_id.rpartition(".")[2]).stdout == "1 dropped\n"
    assert letters(call) == []


def test_all_letters_are_meant_only_when_that_is_said() -> None:
    done = busfn("dead", "retry")
    assert done.returncode == 2
    assert "--all" in done.stderr


def test_call_get_and_cancel_on_the_command_line(path: str) -> None:
    call = durable.square.spawn(6)
    assert busfn("call", "get", call.object_id).stdout == "36\n"
    blocked = durable.held.spawn(path)
    done = busfn("call", "get", blocked.object_id, "--timeout", "0.1")
    assert (done.returncode, "call goes on" in done.stderr) == (1, True)
    queued = durable.held.spawn(path)
    done = busfn("call", "cancel", queued.object_id)
    assert (done.returncode, done.stderr) == (0, f"{queued.object_id} is cancelled\n")
    done = busfn("call", "cancel", queued.object_id)
    assert (done.returncode, done.stderr) == (0, f"{queued.object_id} was cancelled before\n")
    with pytest.raises(errors.RemoteError, match="cancelled"):
        queued.get()
    Path(path).touch()
    assert blocked.get() == "done"
    assert busfn("call", "get", "what?").returncode == 1


def test_a_retry_that_fails_again_is_a_dead_letter_again(path: str) -> None:
    call = durable.flaky.spawn(path, 99)
    letter = failed(call, ValueError)
    busfn("dead", "retry", "--call", letter["call"])
    with pytest.raises(ValueError, match="attempt 8"):
        call.get(timeout=30)
    (again,) = letters(call)
    assert (again["reason"], again["attempts"]) == ("ValueError", 4)


def test_a_retry_is_never_taken_for_a_lost_result(path: str) -> None:
    call = durable.flaky.spawn(path, 5)
    letter = failed(call, ValueError)
    client = DEFAULT.require("a test")
    subject = client.link.subjects.result("durable", letter["function"], letter["call"], 0)
    run = client.link.portal.run
    run(client.link.bus.queues.purge(client.link.subjects.stream("RES"), subject))  # what a retry does first
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call.get, 30)
        (found,) = run(client.dead.find(Filter(call=letter["call"])))
        run(client.dead.retry(found))
        assert waiting.result() == 5


def publish(headers: dict[str, str], body: bytes, function: str = "square") -> FunctionCall[Any]:
    """Queue something as any client of the bus may."""
    link = DEFAULT.require("a test").link
    call = new_call_id()
    link.portal.run(link.bus.queues.enqueue(link.subjects.job("durable", function, call), body, headers))
    return FunctionCall.from_id(f"durable.{function}.{call}")


def test_what_cannot_be_read_is_a_dead_letter() -> None:
    own = {"Busfn-Protocol": "1", "Busfn-Call": "abc", "Content-Type": "application/msgpack"}
    for headers in ({**own, "Busfn-Index": "many"}, {**own, "Busfn-Protocol": "99"}):
        assert failed(publish(headers, b"\xc0"), errors.ProtocolError)["reason"] == "ProtocolError"
    assert publish({}, b"4").get(timeout=30) == 16


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({"Busfn-Reply": "busfn.main.fn.durable.square"}, b"4", "ProtocolError"),
        ({"Busfn-Deadline": "soon"}, b"4", "ProtocolError"),
        ({"Busfn-Deadline": "1000"}, b"4", "FunctionTimeoutError"),
        ({}, b'{"x": ', "ProtocolError"),
        ({"Content-Type": "application/msgpack"}, b"\xc1", "ProtocolError"),
        ({}, b'{"y": 1}', "BadCall"),
    ],
)
def test_what_a_foreign_client_cannot_be_served_is_a_dead_letter(
    headers: dict[str, str], body: bytes, reason: str
) -> None:
    letter = failed(publish(headers, body), errors.RemoteError)
    assert (letter["reason"], letter["attempts"]) == (reason, 1)
    assert reason in busfn("dead", "show", letter["id"]).stdout


def test_what_is_too_late_is_not_run_and_says_so(path: str) -> None:
    call = publish({"Busfn-Deadline": "1000"}, json.dumps([path]).encode(), "stamped")
    with pytest.raises(errors.RemoteError, match="deadline had passed"):
        call.get(timeout=30)
    assert not Path(path).exists()
