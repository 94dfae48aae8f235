"""A bare NATS client against a real worker: arguments become what annotations say, and results what schemas promise."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import nats
import pytest
import types_app
from nats.aio.client import Client

pytestmark = pytest.mark.anyio
MSGPACK = "application/msgpack"


@pytest.fixture(scope="module", autouse=True)
def types_running(running: None) -> Iterator[None]:
    with types_app.app.run():
        yield


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    address = types_app.app.binding.require("the app").address
    connection = await nats.connect(address.servers[0], token=address.token)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(function: str, body: Any, kind: str = "application/json") -> Any:
    """The answer, or the text of the error with its code."""
    data = json.dumps(body).encode() if kind != MSGPACK else msgpack.packb(body)
    async with client() as connection:
        headers = {"Content-Type": kind}
        answer = await connection.request(f"busfn.main.fn.types.{function}", data, timeout=30, headers=headers)
    if answer.headers["Busfn-Status"] == "error":
        return int(answer.headers["Nats-Service-Error-Code"]), json.loads(answer.data)["error"]
    return json.loads(answer.data) if kind != MSGPACK else msgpack.unpackb(answer.data, strict_map_key=False)


@pytest.mark.parametrize("kind", ["application/json", MSGPACK])
async def test_foreign_types_become_what_the_annotations_say(kind: str) -> None:
    assert await ask("point", [[1, "2026-01-02"]], kind) == "Point 2026"
    arguments = {
        "items": [{"name": "a"}], "days": {"a": "2026-01-02"}, "last": ["2026-01-02"], "path": "/a", "pause": "PT1S",
        "movie": {"title": "t", "shown": "2026-01-02"}, "raw": "aGk=",
    }  # fmt: skip
    assert await ask("kinds", arguments, kind) == [
        "Item", "date", "deque", "date", "PosixPath", "timedelta", "date", "bytes",
    ]  # fmt: skip
    assert await ask("nodes", {"item": {"title": "t"}}, kind) == "dict"
    assert await ask("nodes", {"item": {"name": "t"}}, kind) == "Item"
    assert await ask("rest", {"a": 1, "b": 2}, kind) == [1, [], {"b": 2}]
    assert await ask("rest", [1, "2026-01-02"], kind) == [1, ["date"], {}]


@pytest.mark.parametrize("kind", ["application/json", MSGPACK])
async def test_foreign_types_that_do_not_fit_are_refused_with_400_and_the_path(kind: str) -> None:
    for function, body, text in [
        ("frame", ["not a number"], "`n` must be a whole number, not 'not a number'"),
        ("point", [[1, "soon"]], "`p.day` must be a date as text, not 'soon'"),
        ("point", [[1]], "`p` must be a list of 2 (Point: x, day)"),
        ("rest", [1, "soon"], "`more[0]` must be a date as text"),
        ("rest", {"a": 1, "b": "x"}, "`b` must be a whole number"),
        ("kinds", {"items": [{"name": 1}], "days": {}, "last": [], "path": "", "pause": 1, "movie": {"title": ""}},
         "`items[0].name` must be text"),
        ("kinds", {"items": [], "days": {}, "last": [], "path": "", "pause": 1, "movie": {}},
         "`movie.title` is missing"),
    ]:  # fmt: skip
        code, error = await ask(function, body, kind)
        assert (code, text in error) == (400, True), error


async def test_an_annotation_that_cannot_be_resolved_leaves_the_others_alone() -> None:
    assert await ask("frame", [3]) == "n is 3"


async def test_what_json_cannot_say_is_an_error_that_names_it() -> None:
    for what, text in [
        ("two keys", "two keys of an object would both be '1'"),
        ("nan", "not JSON compliant"),
        ("surrogate", "surrogates"),
        ("object", "a object has no form as data"),
    ]:
        code, error = await ask("returns", [what])
        assert (code, text in error) == (500, True), error
    assert (await ask("returns", ["object"], MSGPACK))[0] == 500


async def test_results_are_data_in_both_formats() -> None:
    assert await ask("returns", ["rich"]) == {
        "at": "2026-01-02", "p": [1, "2026-01-02"], "raw": "aGk=", "pause": "P0DT1S",
        "red": [{"name": "a", "price": 1.0}],
    }  # fmt: skip
    rich = await ask("returns", ["rich"], MSGPACK)
    assert rich["at"] == msgpack.ExtType(7, b"2026-01-02")
    assert rich["p"] == [1, msgpack.ExtType(7, b"2026-01-02")]
    assert (rich["raw"], rich["red"]) == (b"hi", [{"name": "a", "price": 1.0}])


async def test_items_of_generators_are_converted_too() -> None:
    async with client() as connection:
        inbox = connection.new_inbox()
        frames = await connection.subscribe(inbox)
        await connection.publish("busfn.main.fn.types.days", b"2", reply=inbox)
        got = [await frames.next_msg(30) for _ in range(3)]
        await connection.publish("busfn.main.fn.types.adays", b'"soon"', reply=inbox)
        refused = await frames.next_msg(30)
    assert [json.loads(one.data) for one in got[:2]] == [[0, "2026-01-01"], [1, "2026-01-01"]]
    assert refused.headers["Nats-Service-Error-Code"] == "400"


async def test_discovery_promises_what_is_accepted() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    await ask("point", [[1, "2026-01-02"]])
    async with client() as connection:
        info = json.loads((await connection.request("$SRV.INFO.types-point", timeout=10)).data)
    metadata = info["endpoints"][0]["metadata"]
    parameters = json.loads(metadata["busfn.parameters"])
    jsonschema.validate({"p": [1, "2026-01-02"]}, parameters)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"p": [1]}, parameters)
    assert json.loads(metadata["busfn.result"]) == {"type": "string"}
