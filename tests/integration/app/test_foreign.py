"""Callers without our SDK: a bare nats-py client."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import calls
import msgpack
import nats
import pytest
from nats.aio.client import Client

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    bus = calls.app.binding.require("the app").link
    address = calls.app.binding.require("the app").address
    assert bus.subjects.env == "main"
    connection = await nats.connect(address.servers[0], token=address.token)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(function: str, body: bytes = b"", **headers: str) -> Any:
    """One request; the whole answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client() as connection:
        return await connection.request(f"busfn.main.fn.calls.{function}", body, timeout=20, headers=named or None)


@pytest.mark.parametrize("body", [b"4", b"[4]", b'{"x": 4}', b'{"args": [4]}', b'{"args": [], "kwargs": {"x": 4}}'])
async def test_json_in_every_form_is_answered_with_json(body: bytes) -> None:
    answer = await ask("square", body)
    assert answer.data == b"16"
    assert answer.headers["Content-Type"] == "application/json"
    assert "Nats-Service-Error" not in answer.headers


async def test_nothing_means_no_arguments() -> None:
    assert (await ask("color")).data == b'"blue"'


async def test_msgpack_is_answered_with_msgpack() -> None:
    answer = await ask("square", msgpack.packb(4), Content_Type="application/msgpack")
    assert msgpack.unpackb(answer.data) == 16


async def test_accept_chooses_the_answers_format() -> None:
    answer = await ask("square", b"4", Accept="application/msgpack")
    assert msgpack.unpackb(answer.data) == 16


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'"four"', "`x` must be a whole number"),
        (b"[1, 2]", "too many positional arguments"),
        (b'{"y": 1}', "missing a required argument: 'x'"),
        (b"{oops", "not JSON"),
        (b"", "missing a required argument: 'x'"),
    ],
)
async def test_a_bad_call_is_refused_with_400_and_the_reason(body: bytes, reason: str) -> None:
    answer = await ask("square", body)
    assert answer.headers["Nats-Service-Error-Code"] == "400"
    assert reason in answer.headers["Nats-Service-Error"]
    assert reason in json.loads(answer.data)["error"]


async def test_an_unsigned_pickle_is_refused() -> None:
    answer = await ask("square", b"\x80\x05K\x04.", Content_Type="application/vnd.busfn.pickle")
    assert answer.headers["Nats-Service-Error-Code"] == "400"
    assert "signature" in answer.headers["Nats-Service-Error"]


async def test_an_error_of_the_body_is_a_500() -> None:
    answer = await ask("fail", b'"no luck"')
    assert answer.headers["Nats-Service-Error-Code"] == "500"
    assert "Custom" in answer.headers["Nats-Service-Error"]
    assert "no luck" in answer.headers["Nats-Service-Error"]


async def test_a_result_that_json_cannot_say_is_an_error() -> None:
    answer = await ask("returns_lock")
    assert "JSON" in answer.headers["Nats-Service-Error"]


async def test_a_generators_items_come_one_a_message_with_an_end() -> None:
    async with client() as connection:
        inbox = connection.new_inbox()
        frames = await connection.subscribe(inbox)
        await connection.publish("busfn.main.fn.calls.count", b"3", reply=inbox)
        got = [await frames.next_msg(20) for _ in range(4)]
    assert [(m.headers["Busfn-Status"], m.data) for m in got] == [
        ("item", b"0"),
        ("item", b"1"),
        ("item", b"2"),
        ("end", b""),
    ]


async def test_a_foreign_call_whose_worker_is_lost_gets_an_error(folder: str) -> None:
    answer = await ask("dies", json.dumps({"folder": folder, "x": 1, "times": 99}).encode())
    assert answer.headers["Nats-Service-Error-Code"] == "503"
    assert "lost" in answer.headers["Nats-Service-Error"]


async def test_a_reply_that_is_no_inbox_is_not_answered() -> None:
    async with client() as connection:
        overheard = await connection.subscribe("somewhere.else")
        await connection.publish("busfn.main.fn.calls.square", b"4", reply="somewhere.else")
        await connection.flush()
        assert (await connection.request("busfn.main.fn.calls.square", b"4", timeout=20)).data == b"16"
        with pytest.raises(nats.errors.TimeoutError):
            await overheard.next_msg(0.2)


async def test_discovery_answers_with_schemas() -> None:
    await ask("square", b"4")
    async with client() as connection:
        ping = json.loads((await connection.request("$SRV.PING.calls-square")).data)
        info = json.loads((await connection.request(f"$SRV.INFO.calls-square.{ping['id']}")).data)
        stats = json.loads((await connection.request(f"$SRV.STATS.calls-square.{ping['id']}")).data)
    assert ping["type"] == "io.nats.micro.v1.ping_response"
    assert info["type"] == "io.nats.micro.v1.info_response"
    assert info["description"] == "The square of a number."
    (endpoint,) = info["endpoints"]
    assert endpoint["subject"] == "busfn.main.fn.calls.square"
    parameters = json.loads(endpoint["metadata"]["busfn.parameters"])
    assert parameters["properties"] == {"x": {"type": "integer"}}
    assert parameters["required"] == ["x"]
    assert json.loads(endpoint["metadata"]["busfn.result"]) == {"type": "integer"}
    assert stats["type"] == "io.nats.micro.v1.stats_response"
    assert stats["endpoints"][0]["num_requests"] >= 1


async def test_many_foreign_calls_at_once_are_all_answered() -> None:
    async with client() as connection:
        answers = await asyncio.gather(
            *(connection.request("busfn.main.fn.calls.square", str(i).encode(), timeout=20) for i in range(600))
        )
    assert [int(answer.data) for answer in answers] == [i * i for i in range(600)]


async def test_a_result_that_fits_into_a_message_is_sent_in_it_and_a_larger_one_as_a_blob() -> None:
    fits = await ask("text", b"900000")
    assert json.loads(fits.data) == "x" * 900_000
    async with client() as connection:
        answer = await connection.request("busfn.main.fn.calls.text", b"2000000", timeout=20)
        name, size, chunks, digest = answer.headers["Busfn-Blob"].split(",")
        stream = connection.jetstream()
        parts = [
            (await stream.get_last_msg("BUSFN_main_BLOB", f"busfn.main.blob.{name}.{n}", direct=True)).data
            for n in range(int(chunks))
        ]
    body = b"".join(parts)
    assert (len(body), hashlib.sha256(body).hexdigest()) == (int(size), digest)
    assert json.loads(body) == "x" * 2_000_000


async def test_a_generator_is_closed_when_its_consumers_inbox_is_gone(folder: str) -> None:
    async with client() as connection:
        inbox = connection.new_inbox()
        frames = await connection.subscribe(inbox)
        await connection.publish(
            "busfn.main.fn.calls.steps", json.dumps({"folder": folder, "n": 100}).encode(), reply=inbox
        )
        assert (await frames.next_msg(20)).data == b"0"
        await frames.unsubscribe()
        await connection.flush()
    for i in range(1, 100):
        (Path(folder) / f"{i}.go").touch()
        if (Path(folder) / "closed").exists():
            break
    async with asyncio.timeout(20):
        while not (Path(folder) / "closed").exists():
            await asyncio.sleep(0.01)


async def test_colliding_integers_cost_neither_the_worker_nor_its_callers_any_time() -> None:
    prime = (1 << 61) - 1
    numbers = [((1 << 70) + i * prime).to_bytes(10, "big") for i in range(40_000)]
    items = msgpack.Packer().pack_array_header(len(numbers))
    items += b"".join(msgpack.packb(msgpack.ExtType(4, number)) for number in numbers)
    body = msgpack.packb([msgpack.ExtType(2, items)])
    assert len(body) > 500_000
    answer = await ask("identity", body, Content_Type="application/msgpack", Accept="application/json")
    assert answer.headers["Nats-Service-Error-Code"] == "400"
    assert b"same hash" in answer.data
