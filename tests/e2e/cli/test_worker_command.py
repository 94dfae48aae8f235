"""`busfn worker`: a plain microservice that any NATS client can call."""

from __future__ import annotations

import contextlib
import json
import os
import signal

import nats
import pytest

pytestmark = pytest.mark.anyio

SERVICE = """
    import os
    from pathlib import Path

    import busfn

    app = busfn.App("service")

    @app.function()
    def square(x: int) -> int:
        return x * x

    @app.function()
    def pid() -> int:
        return os.getpid()

    @app.local_entrypoint()
    def main(): ...
"""


async def ask(client, function, *args, timeout=10.0):
    """What a client gets that knows nothing of busfn."""
    subject = f"busfn.main.fn.service.{function}"
    answer = await client.request(subject, json.dumps(list(args)).encode(), timeout=timeout)
    return json.loads(answer.data)


def address_of(run):
    word, _, address = run.line().partition(" ")
    assert word == "ready"
    assert address.startswith("nats://")
    return address


async def test_it_serves_any_nats_client_until_sigterm(cli):
    cli.script("service.py", SERVICE)
    run = cli.start("worker", "service.py", "-n", 2)
    client = await nats.connect(address_of(run))
    answer = await client.request("busfn.main.fn.service.square", b"4", timeout=10)
    assert answer.data == b"16"
    pids = {await ask(client, "pid") for _ in range(50)}
    assert len(pids) == 2
    assert pids <= cli.processes().keys()
    await client.close()
    run.signal(signal.SIGTERM)
    ended = run.end()
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert cli.leftovers() == []


async def test_ctrl_c_ends_it_as_well(cli):
    cli.script("service.py", SERVICE)
    run = cli.start("worker", "service.py::square")
    address_of(run)
    run.signal(signal.SIGINT)
    ended = run.end()
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert cli.leftovers() == []


async def test_it_serves_the_configured_bus_and_environment(cli, server):
    cli.script("service.py", SERVICE)
    env = {"BUSFN_URL": f"nats://{server.address.token}@127.0.0.1:{server.port}"}
    run = cli.start("worker", "--env", "cli-e2e", "-m", "service::square", env=env)
    ready = address_of(run)
    assert ready.endswith(f":{server.port}")
    client = await nats.connect(*server.address.servers, token=server.address.token)
    answer = await client.request("busfn.cli-e2e.fn.service.square", b"[5]", timeout=10)
    assert answer.data == b"25"
    await client.close()
    run.signal(signal.SIGTERM)
    assert run.end().code == 0


async def test_a_killed_worker_process_is_replaced(cli, poll):
    cli.script("service.py", SERVICE)
    run = cli.start("worker", "service.py::pid", "-n", 1)
    client = await nats.connect(address_of(run))
    first = await ask(client, "pid")
    assert first != run.pid
    os.kill(first, signal.SIGKILL)
    poll(lambda: first not in cli.processes())
    second = None
    while second is None:  # the server may not know yet that the first is gone, nor the second be ready
        poll(lambda: len(cli.processes()) >= 5)
        with contextlib.suppress(nats.errors.NoRespondersError, nats.errors.TimeoutError):
            second = await ask(client, "pid", timeout=2)
    assert second != first
    assert second in cli.processes()
    assert await ask(client, "pid") == second
    await client.close()
    run.signal(signal.SIGTERM)
    assert run.end().code == 0


async def test_nothing_survives_a_killed_command(cli, poll):
    cli.script("service.py", SERVICE)
    run = cli.start("worker", "service.py::square")
    address_of(run)
    assert len(cli.processes()) >= 5, "the command, guardian, server, fork server, worker"
    run.signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    poll(lambda: not cli.leftovers(), 10.0)


async def test_code_that_workers_cannot_import_ends_it(cli):
    cli.script(
        "broken.py",
        """
        import busfn

        assert busfn.is_local(), "not in a worker"
        app = busfn.App("broken")

        @app.function()
        def f(): ...
        """,
    )
    ended = cli("worker", "broken.py")
    assert (ended.code, ended.out) == (1, "")
    assert "AssertionError: not in a worker" in ended.err
    assert "broken.f cannot be served, because its worker failed to start" in ended.err
    assert ended.err.count('File "') == ended.err.count(f'File "{cli.folder / "broken.py"}"') == 1


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (SERVICE, "::main", "main is a local entrypoint: it runs in the caller, workers serve functions"),
        ("x = 1\n", "", "service.py has no busfn.App: make one"),
        ("import busfn\na, b = busfn.App('a'), busfn.App('b')\n", "", "service.py has 2 apps; say which one to serve"),
    ],
)
async def test_what_cannot_be_served_is_said_so(cli, text, name, message):
    cli.script("service.py", text)
    ended = cli("worker", f"service.py{name}")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"Error: {message}")
    assert 'File "' not in ended.err


async def test_a_server_that_does_not_answer_is_said_so(cli):
    ended = cli("worker", "example.py::square", env={"BUSFN_URL": "nats://127.0.0.1:1"})
    assert (ended.code, ended.out) == (1, "")
    assert "no NATS server answers at nats://127.0.0.1:1" in ended.err
    assert 'File "' not in ended.err
