"""Exceptions of every kind reach those who wait, by every way of waiting."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any

import calls
import nats
import pytest

from busfn.errors import FunctionTimeoutError, RemoteError
from busfn.invoke.deadletters import DeadLetters, Filter

KINDS = ["nested", "slots", "unsendable", "group", "surrogate", "mute", "huge", "circle"]


def arrived(error: BaseException, kind: str) -> bool:
    """Whether it has what the body raised: its class or its name, its text, and the remote frames."""
    text = "".join(traceback.format_exception(error))
    assert "in fault" in text or "raise fault(kind)" in text or "in raises" in text
    match kind:
        case "nested":
            return type(error) is RuntimeError and error.args[1].status == 402
        case "slots":
            return type(error) is calls.Slotted and error.code == 7
        case "unsendable":
            return type(error) is RemoteError and "Unsendable: order 17" in str(error)
        case "group":
            return [type(one) for one in getattr(error, "exceptions", ())] == [calls.HttpFault, RemoteError]
        case "mute":
            return type(error) is RemoteError and "Mute" in str(error)
        case _:
            return "order 17" in str(error) and type(error) in (ValueError, RemoteError)


def caught(ask: Callable[[], Any]) -> BaseException:
    with pytest.raises(Exception) as raised:
        ask()
    return raised.value


@pytest.mark.parametrize("kind", KINDS)
def test_failure_with_failure_is_raised_by_remote(kind: str) -> None:
    error = caught(lambda: calls.raises.remote(kind))
    assert arrived(error, kind)
    assert type(error.__cause__) is KeyError


@pytest.mark.parametrize("kind", KINDS)
def test_one_such_error_does_not_end_a_map_with_return_exceptions(kind: str) -> None:
    got = list(calls.fails_sometimes.starmap(((i, kind) for i in range(30)), return_exceptions=True))
    assert [one for one in got if not isinstance(one, Exception)] == [i for i in range(30) if i % 3 != 1]
    assert all(arrived(one, kind) for one in got if isinstance(one, Exception))


@pytest.mark.parametrize("kind", ["nested", "unsendable", "mute"])
def test_a_generator_s_items_come_before_such_an_error(kind: str) -> None:
    got: list[int] = []
    error = caught(lambda: got.extend(calls.counts_then_raises.remote_gen(5, kind)))
    assert arrived(error, kind)
    stream = calls.counts_then_raises.remote_gen(3, kind)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    assert arrived(caught(lambda: next(stream)), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_stored_failures_are_raised_by_get_and_by_iter(kind: str) -> None:
    assert arrived(caught(calls.raises.spawn(kind).get), kind)
    call = calls.fails_sometimes.spawn_map(range(5), [kind] * 5)
    assert [call.get(index=i) for i in (0, 2, 3)] == [0, 2, 3]
    assert arrived(caught(lambda: call.get(index=1)), kind)
    assert arrived(caught(lambda: list(call.iter())), kind)


def test_a_dead_letter_tells_the_traceback() -> None:
    call = calls.raises.spawn("unsendable")
    caught(call.get)
    client = calls.app.binding.require("the app")
    letters = DeadLetters(client.link)
    found = client.link.portal.run(letters.find(Filter(function="raises", reason="Unsendable")))
    (letter,) = [one for one in found if one.call in call.object_id]
    text = client.link.portal.run(letters.traceback(letter))
    assert letter.reason == "Unsendable"
    assert "in raises" in text
    assert text.endswith("calls.Unsendable: order 17")


def test_exceptions_that_are_returned_arrive() -> None:
    unsendable, nested, inside = calls.returns_faults.remote()
    assert type(unsendable) is RemoteError
    assert "Unsendable: order 17" in str(unsendable)
    assert (type(nested), nested.args[1].status) == (RuntimeError, 402)
    assert inside["slots"].code == 7
    assert calls.identity.remote([calls.HttpFault(status=9)])[0].status == 9


@pytest.mark.anyio
@pytest.mark.parametrize(
    "text", ["\\ud800", "\\u0000", "\\u001b[2J", "a\\r\\nNats-Service-Error-Code: 200", "x" * 100_000]
)
async def test_a_foreign_caller_gets_any_text_and_the_worker_lives(text: str) -> None:
    client = calls.app.binding.require("the app")
    connection = await nats.connect(client.address.servers[0], token=client.address.token)
    body = f'{{"x": "{text}"}}'.encode()
    try:
        answers = [await connection.request("busfn.main.fn.calls.raise_text", body, timeout=20) for _ in range(3)]
    finally:
        await connection.close()
    for answer in answers:
        assert answer.headers["Nats-Service-Error-Code"] == "500"
        assert answer.headers["Nats-Service-Error"].startswith("ValueError: ")
        assert json.loads(answer.data)["error"].startswith("ValueError: ")
    assert len({answer.headers["Busfn-Worker"] for answer in answers}) == 1


def test_an_exception_whose_text_never_comes_is_a_timeout() -> None:
    assert type(caught(calls.raises_endless.remote)) is FunctionTimeoutError
    assert calls.square.remote(3) == 9
