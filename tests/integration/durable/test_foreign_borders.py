"""What plain NATS clients send: whatever stands in their headers, it is read back as it was written, or refused."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import durable
import nats
import pytest
from nats.aio.client import Client

from busfn import errors
from busfn.binding import DEFAULT
from busfn.ids import new_call_id
from busfn.invoke.deadletters import DeadLetter, Filter

pytestmark = pytest.mark.anyio

CENTURIES = "4000000000000000000"


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    address = DEFAULT.require("a test").address
    connection = await nats.connect(address.servers[0], token=address.token)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(function: str, value: object, **headers: str) -> Any:
    """One request; the whole answer."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    async with client() as connection:
        return await connection.request(
            f"busfn.main.fn.durable.{function}", json.dumps(value).encode(), timeout=20, headers=named or None
        )


async def queue(function: str, call: str, value: object, **headers: str) -> None:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    async with client() as connection:
        subject = f"busfn.main.job.durable.{function}.{call}"
        await connection.jetstream().publish(subject, json.dumps(value).encode(), headers=named or None)


async def letters(**wanted: str) -> list[DeadLetter]:
    dead = DEFAULT.require("a test")
    return await asyncio.to_thread(lambda: dead.link.portal.run(dead.dead.find(Filter(app="durable", **wanted))))


async def letter(**wanted: str) -> DeadLetter:
    """The dead letter that comes."""
    async with asyncio.timeout(30):
        while not (found := await letters(**wanted)):
            await asyncio.sleep(0.02)
    (one,) = found
    return one


def runs(path: str) -> int:
    file = Path(path)
    return len(file.read_text().splitlines()) if file.exists() else 0


async def test_foreign_retries_end(path: str) -> None:
    """A plain request to a function with retries: so many runs, then the error."""
    answer = await ask("flaky", [path, 99])
    assert answer.headers["Nats-Service-Error-Code"] == "500"
    assert "attempt 4" in json.loads(answer.data)["error"]
    assert runs(path) == 4


async def test_a_foreign_call_that_succeeds_at_a_later_attempt_is_answered(path: str) -> None:
    answer = await ask("flaky", [path, 3], traceparent="00-1-2-01", Accept="application/json")
    assert answer.data == b"3"
    assert runs(path) == 3


async def test_retries_of_a_foreign_job_end_in_a_dead_letter(path: str) -> None:
    call = new_call_id()
    await queue("flaky", call, [path, 99])
    dead = await letter(call=call)
    assert (dead.reason, dead.attempts, dead.index) == ("ValueError", 4, 0)
    assert runs(path) == 4


async def test_a_foreign_caller_that_has_left_does_not_keep_its_call_going(path: str) -> None:
    async with client() as connection:
        inbox = connection.new_inbox()
        await connection.publish("busfn.main.fn.durable.flaky", json.dumps([path, 99]).encode(), reply=inbox)
        await connection.flush()
    async with asyncio.timeout(30):
        while runs(path) < 4:
            await asyncio.sleep(0.02)
    await ask("flaky", [path + ".other", 2])  # goes through the same queue, and more of the first would be before it
    assert runs(path) == 4


@pytest.mark.parametrize("name", ["Busfn-Not-Before", "busfn-not-before"])
async def test_a_start_centuries_away_is_refused(name: str) -> None:
    async with client() as connection:
        answer = await connection.request("busfn.main.fn.durable.square", b"4", timeout=20, headers={name: CENTURIES})
    assert answer.headers["Nats-Service-Error-Code"] == "400"
    assert "Busfn-Not-Before" in answer.headers["Nats-Service-Error"]


@pytest.mark.parametrize("text", [CENTURIES, str(int((time.time() + 500 * 86_400) * 1000)), "soon", "-1"])
async def test_a_job_that_starts_centuries_away_is_a_dead_letter(text: str) -> None:
    call = new_call_id()
    await queue("square", call, 4, Busfn_Not_Before=text)
    dead = await letter(call=call)
    assert dead.reason == "ProtocolError"
    assert "Busfn-Not-Before" in dead.error


async def test_a_job_whose_id_is_none_of_ours_is_kept_under_another_one() -> None:
    """`a-b` broke the list of dead letters for everybody."""
    await queue("square", "a-b", 4)
    async with asyncio.timeout(30):
        while not (found := [one for one in await letters(reason="ProtocolError") if "'a-b'" in one.error]):
            await asyncio.sleep(0.02)
    (dead,) = found
    assert dead.call.isalnum()
    held = DEFAULT.require("a test")
    await asyncio.to_thread(lambda: held.link.portal.run(held.dead.drop(dead)))
    assert await letters(reason="ProtocolError", function="square", call=dead.call) == []


async def test_dead_letters_that_strangers_have_written_hide_no_others() -> None:
    async with client() as connection:
        stream = connection.jetstream()
        for subject in ("a-b.0", "abc.x", "abc.-1", "abc.²", "abc.7"):
            await stream.publish(f"busfn.main.dead.durable.strange.{subject}", b"?", headers={"Busfn-Crashes": "x"})
        await stream.publish("busfn.main.dead.du$rable.f.c.0", b"?")
    found = await letters(function="strange")
    assert [(one.call, one.index) for one in found] == [("a-b", 0), ("abc", 7)]
    assert {one.reason for one in found} == {"ProtocolError"}
    held = DEFAULT.require("a test")
    for one in found:
        await asyncio.to_thread(lambda one=one: held.link.portal.run(held.dead.drop(one)))
    assert await letters(function="strange") == []


async def test_a_reply_header_counts_only_on_what_we_have_queued() -> None:
    async with client() as connection:
        overheard = await connection.subscribe("_INBOX.other")
        answer = await connection.request(
            "busfn.main.fn.durable.square", b"4", timeout=20, headers={"Busfn-Reply": "_INBOX.other"}
        )
        assert answer.headers["Nats-Service-Error-Code"] == "400"
        await connection.flush()
        assert overheard.pending_msgs == 0


@pytest.mark.parametrize("reply", ["_INBOX.one x", "busfn.main.job.durable.square.c1", "_INBOX.>", "_INBOX..a"])
async def test_a_queued_call_whose_inbox_is_none_is_refused(reply: str) -> None:
    """A space in it took a whole host's watch over timeouts and leases down."""
    call = new_call_id()
    await queue("square", call, {"args": [4]}, Busfn_Protocol="1", Busfn_Call=call, Busfn_Reply=reply)
    dead = await letter(call=call)
    assert (dead.reason, "Busfn-Reply" in dead.error) == ("ProtocolError", True)
    async with client() as connection:
        await connection.jetstream().publish(
            "busfn.main.ovf.durable.square", b"4", headers={"Busfn-Reply": reply, "Busfn-Call": call}
        )
    assert (await ask("square", 5)).data == b"25"


async def test_a_queued_call_that_says_it_is_another_one_is_refused() -> None:
    call, victim = new_call_id(), new_call_id()
    await queue("square", call, 4, Busfn_Call=victim)
    assert victim in (await letter(call=call)).error
    assert await letters(call=victim) == []


@pytest.mark.parametrize("version", ["2", "", "x"])
async def test_a_caller_of_another_protocol_is_told_so(version: str) -> None:
    answer = await ask("square", 4, Busfn_Protocol=version, Busfn_Call="abc1")
    assert "not supported" in answer.headers["Nats-Service-Error"]
    assert answer.headers["Busfn-Call"] == "abc1"


async def written(path: str) -> str:
    """What the body has written."""
    async with asyncio.timeout(30):
        while not runs(path):
            await asyncio.sleep(0.02)
    return Path(path).read_text().strip()


@pytest.mark.parametrize("how", ["stop", "terminate"])
async def test_a_call_whose_caller_waits_is_not_cancelled_by_others(path: str, how: str) -> None:
    waiting = asyncio.create_task(durable.own_id.remote.aio(path))
    call = await written(path)
    async with client() as connection:
        await connection.publish("busfn.main.ctl.durable.own_id", f"{call.rpartition('.')[2]} {how}".encode())
        for number in range(20_000):
            await connection.publish("busfn.main.ctl.durable.own_id", b"c%d terminate" % number)
        await connection.flush()
    assert await durable.square.remote.aio(3) == 9
    Path(path + ".go").touch()
    assert await waiting == call
    assert runs(path) == 1


async def test_a_result_of_another_function_is_none_of_the_call(path: str) -> None:
    """Whoever may queue calls of one function cannot answer those of another one."""
    victim = await durable.own_id.spawn.aio(path)
    await written(path)
    call = victim.object_id.rpartition(".")[2]
    await queue("square", call, 4)
    link = DEFAULT.require("a test").link
    subject = link.subjects.result("durable", "square", call, 0)
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(lambda: link.portal.run(link.bus.queues.latest("BUSFN_main_RES", subject))):
            await asyncio.sleep(0.02)
    Path(path + ".go").touch()
    assert await victim.get.aio(timeout=30) == victim.object_id


async def test_a_result_that_belongs_to_another_call_is_refused(path: str) -> None:
    victim = await durable.own_id.spawn.aio(path)
    await written(path)
    call = victim.object_id.rpartition(".")[2]
    async with client() as connection:
        await connection.jetstream().publish(
            f"busfn.main.res.durable.own_id.{call}.0", b"4", headers={"Busfn-Status": "ok", "Busfn-Call": "other"}
        )
    Path(path + ".go").touch()
    with pytest.raises(errors.ProtocolError, match="belongs to another"):
        await victim.get.aio(timeout=30)


async def test_nobody_makes_us_publish_elsewhere() -> None:
    """Questions to hosts and controllers are answered to inboxes only."""
    async with client() as connection:
        heard: list[str] = []

        async def hear(message: Any) -> None:
            if "Status" not in (message.headers or {}):  # which is the server's own word
                heard.append(message.data)

        await connection.subscribe("elsewhere.>", cb=hear)
        asked = [
            ("busfn.main.ask.stats.durable", b""),
            ("busfn.main.ask.fleet.hosts", b""),
            ("busfn.main.host.all", b'{"op": "report"}'),
            ("busfn.main.fn.durable.square", b"4"),
            ("$SRV.PING", b""),
        ]
        for subject, body in asked:
            await connection.publish(subject, body, reply="elsewhere.x")
        await connection.request("busfn.main.fn.durable.square", b"4", timeout=20)
        stats = await connection.request("busfn.main.ask.stats.durable", timeout=20)
        assert b"functions" in stats.data
        await connection.flush()
        assert heard == []
