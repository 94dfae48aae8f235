"""Strangers on the bus write to every subject that hosts and controllers read, and into the registry: all goes on."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

import busfn
from busfn.bus.core import NatsBus, connect
from busfn.config import load_settings
from busfn.protocol.subjects import Subjects
from busfn_services.leadership import KEY, owner_of
from busfn_services.reports import Command, HostReport, WorkerReport

APP = """
    import os, time

    import busfn

    app = busfn.App("$APP")

    @app.function(scaledown_window=1.0)
    def pid(seconds: float = 0.0) -> int:
        time.sleep(seconds)
        return os.getpid()

    @app.function(timeout=2.0)
    def sleeps(seconds: float) -> float:
        time.sleep(seconds)
        return seconds
"""

Eventually = Callable[[Callable[[], bool]], None]
SUBJECTS = Subjects("main")
INVENTED = HostReport(
    host="invented", machine="nowhere", cores=8000,
    workers=(WorkerReport(name="w1", pid=1, app="a", version=1, function="f", state="ready"),),
)  # fmt: skip


def hostile_reports() -> list[bytes]:
    """A good report with one field wrong, and things that are none."""
    good = asdict(INVENTED)
    worker = good["workers"][0]
    wrong: list[dict[str, Any]] = [{**good, "host": "a b"}, {**good, "cores": 10**18}, {**good, "cores": "many"}]
    for field, value in {"idle_for": "a", "pid": -1, "app": "a b", "version": 1e300, "state": None, "busy": 7}.items():
        wrong.append({**good, "workers": [{**worker, field: value}]})
    wrong.append({**good, "failures": [{"app": "a", "version": 1, "function": "f", "text": "x" * 100_000}]})
    wrong.append({**good, "machine": "\x1b[2J"})
    noise = [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 50_000, b'{"host": "\\ud800"}', b'{"cores": NaN}']
    return [*(json.dumps(one).encode() for one in wrong), *noise]


def with_bus(work: Callable[[NatsBus], Any]) -> Any:
    """Run something with a connection that has the token, and nothing of a client of ours."""

    async def run() -> Any:
        address = load_settings().address
        assert address is not None
        async with await connect(address, name="stranger") as bus:
            result = await work(bus)
            await bus.flush()
            return result

    return asyncio.run(run())


def names_of_hosts(up: Any) -> list[str]:
    return [check["what"].removeprefix("host ") for check in health(up) if check["what"].startswith("host ")]


def health(up: Any) -> list[dict[str, Any]]:
    done = up.run("health", "--json")
    return json.loads(done.stdout)


def test_hostile_frames_on_every_subject_of_hosts_and_controllers_change_nothing(
    own_up, app: str, script: Callable[..., str], eventually: Eventually
) -> None:
    own_up.busfn("deploy", script(APP))
    function = busfn.Function.from_name(app, "pid")
    assert function.remote() > 0
    before = own_up.children()
    [host] = names_of_hosts(own_up)

    async def attack(bus: NatsBus) -> None:
        bodies = hostile_reports()
        claims = Command(op="start", app="a b", function=">", worker="*", epoch=10**14)
        commands = [claims.encode(), replace(claims, op="drain").encode()]
        for subject in (SUBJECTS.report("x"), SUBJECTS.report("invented"), SUBJECTS.report(host)):
            for body in bodies:
                bus.publish(subject, body)
        for subject in (SUBJECTS.command(host), SUBJECTS.command("all"), SUBJECTS.registry):
            for body in (*bodies, *commands, json.dumps({"op": "start", "epoch": 10**18}).encode()):
                bus.publish(subject, body, reply="_INBOX.nobody")
                bus.publish(subject, body)
        for what in ("stats", "cover"):
            for body in bodies:
                bus.publish(SUBJECTS.question(what, app), body, reply="_INBOX.nobody")
        bus.publish(SUBJECTS.question("fleet", "hosts"), reply="_INBOX.nobody")

    with_bus(attack)
    eventually(lambda: own_up.workers(app) == [])  # it scales down
    assert function.remote() > 0  # and up again, so commands are obeyed
    assert own_up.children() == before
    assert names_of_hosts(own_up) == [host]
    assert [check for check in health(own_up) if not check["ok"]] == []
    with pytest.raises(busfn.errors.FunctionTimeoutError):
        busfn.Function.from_name(app, "sleeps").remote(60.0)


def test_an_invented_host_gets_no_starts(own_up, app: str, script: Callable[..., str]) -> None:
    own_up.busfn("deploy", script(APP))

    async def attack(bus: NatsBus) -> int:
        """Reports of a host that nobody is, and of one that listens and never answers a start."""
        listening = HostReport(host="listening", machine="m", cores=8000)
        told = 0

        def on_command(message: Any) -> None:
            nonlocal told
            told += 1
            if json.loads(message.body)["op"] == "report":
                bus.publish(message.reply, listening.encode())

        await bus.subscribe(SUBJECTS.command("listening"), on_command)
        function = busfn.Function.from_name(app, "pid")
        calls = []
        for number in range(20):
            bus.publish(SUBJECTS.report("invented"), INVENTED.encode())
            bus.publish(SUBJECTS.report("listening"), listening.encode())
            await asyncio.sleep(0.1)
            if number == 5:
                calls = [asyncio.create_task(function.remote.aio(0.0)) for _ in range(3)]
        async with asyncio.timeout(20):
            assert all(await asyncio.gather(*calls))
        return told

    assert with_bus(attack) > 1  # it was asked
    assert "invented" not in names_of_hosts(own_up)


def test_only_the_controller_that_has_the_lease_is_obeyed(own_up, app: str, script: Callable[..., str]) -> None:
    own_up.busfn("deploy", script(APP))
    [host] = names_of_hosts(own_up)

    async def claim(bus: NatsBus) -> list[str]:
        answers = []
        entry = await bus.table(SUBJECTS.table).entry(KEY)
        assert entry is not None
        _, leads = owner_of(entry)
        for epoch in (leads + 1, 10**15):
            command = Command(op="start", app=app, version=1, function="pid", epoch=epoch)
            answer = await bus.request(SUBJECTS.command(host), command.encode(), timeout=10)
            answers.append(answer.headers["Busfn-Error"])
        return answers

    assert all("no lease says so" in answer for answer in with_bus(claim))
    assert busfn.Function.from_name(app, "pid").remote() > 0


def test_bad_rows_of_the_registry_are_set_aside_and_shown(own_up, app: str, script: Callable[..., str]) -> None:
    own_up.busfn("deploy", script(APP))
    before = own_up.children()

    async def spoil(bus: NatsBus) -> None:
        table = bus.table(SUBJECTS.table)
        await table.put("app.bad", b"{}")
        await table.put("app.missing", b'{"version": 3}')
        await table.put(f"scale.{app}.pid", b'{"version": 1, "settings": {"min_containers": "a"}}')
        await table.put(f"pin.{app}.7", b"soon")
        await table.put(f"version.{app}.9", json.dumps({"deployment": "{}", "signature": "\xfc"}).encode())
        bus.publish(SUBJECTS.registry)

    with_bus(spoil)
    assert busfn.Function.from_name(app, "pid").remote() > 0
    shown = {check["what"] for check in health(own_up) if not check["ok"]}
    keys = ("app.bad", f"scale.{app}.pid", f"pin.{app}.7", f"version.{app}.9")
    assert shown == {f"registry row {key}" for key in keys}
    own_up.busfn("deploy", script(APP))
    assert busfn.Function.from_name(app, "pid").remote() > 0
    assert own_up.children() == before


def test_a_lease_that_a_stranger_has_written_is_taken_over(own_up, app: str, script, eventually: Eventually) -> None:
    own_up.busfn("deploy", script(APP))

    async def usurp(bus: NatsBus) -> None:
        await bus.table(SUBJECTS.table).put("lead", b'{"owner": "me", "epoch": 5}')

    with_bus(usurp)
    eventually(lambda: own_up.run("health").returncode == 0)
    assert busfn.Function.from_name(app, "pid").remote() > 0


def test_a_host_whose_fork_server_dies_is_started_again(own_up, app: str, script, eventually: Eventually) -> None:
    own_up.busfn("deploy", script(APP))
    function = busfn.Function.from_name(app, "pid")
    assert function.remote() > 0
    agent = own_up.children()["agentd"]
    [fork_server] = children_of(agent)
    os.kill(fork_server, signal.SIGKILL)
    eventually(lambda: own_up.children().get("agentd", agent) != agent)
    eventually(lambda: own_up.run("health").returncode == 0)
    assert function.remote() > 0
    assert "the process that starts workers has ended" in own_up.log


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def test_a_host_with_too_few_descriptors_says_so_and_goes_on_when_there_are_more(
    own_up, app: str, script: Callable[..., str], eventually: Eventually
) -> None:
    own_up.busfn("deploy", script(APP))
    before = own_up.children()
    limits = resource.prlimit(before["agentd"], resource.RLIMIT_NOFILE)
    resource.prlimit(before["agentd"], resource.RLIMIT_NOFILE, (3, limits[1]))
    with pytest.raises(busfn.errors.ServiceError, match="open files"):
        busfn.Function.from_name(app, "pid").remote()
    resource.prlimit(before["agentd"], resource.RLIMIT_NOFILE, limits)
    call = busfn.Function.from_name(app, "pid").spawn()

    def answered() -> bool:
        try:
            return bool(call.get(timeout=60))
        except busfn.errors.ServiceError:  # told of the last attempt
            return False

    eventually(answered)
    assert own_up.children() == before
