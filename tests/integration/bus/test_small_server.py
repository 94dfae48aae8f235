"""A server that may store little: all streams are made, and leave room for one another."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from busfn.bus.server import EmbeddedServer, find_server
from busfn.config import BusAddress
from busfn.errors import ServiceError
from busfn.protocol.subjects import Subjects
from busfn_services.supervisor.context import open_context

pytestmark = pytest.mark.anyio

MIB = 1 << 20
CONFIG = """
listen: 127.0.0.1:{port}
jetstream {{ store_dir: {store}, max_memory_store: {memory}, max_file_store: {file} }}
{accounts}
"""
ACCOUNT = """
accounts { small { jetstream: {max_memory: 64M, max_file: 256M}, users: [{user: u, password: p}] } }
"""


@pytest.fixture(params=["server", "account"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BusAddress]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config, limited = tmp_path / "server.conf", request.param == "server"
    config.write_text(
        CONFIG.format(
            port=port, store=json.dumps(str(tmp_path / "store")), accounts="" if limited else ACCOUNT,
            memory=64 * MIB if limited else 1024 * MIB, file=256 * MIB if limited else 4096 * MIB,
        )
    )  # fmt: skip
    server = subprocess.Popen([find_server(), "-c", str(config), "-l", str(tmp_path / "log")])
    user = {} if limited else {"user": "u", "password": "p"}
    _wait_for(port)
    yield BusAddress(servers=(f"nats://127.0.0.1:{port}",), **user)
    server.terminate()
    server.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.02)


async def test_all_environments_get_their_streams_and_keep_them(small: BusAddress, connected) -> None:
    sizes: list[dict[str, int]] = []
    bus = await connected(small)
    for env in ("main", "other", "main"):
        context = await open_context(small, env=env, key=None)
        found = {}
        for kind in ("JOBS", "OVF", "LOGS"):
            answer = await bus.request(f"$JS.API.STREAM.INFO.{Subjects(env).stream(kind)}")
            found[kind] = json.loads(answer.body)["config"]["max_bytes"]
        sizes.append(found)
        await context.bus.queues.enqueue(Subjects(env).job("a", "f", "c"), b"x" * 1000)
        await context.bus.close()
    assert sizes[0]["JOBS"] == -1
    assert sizes[0]["OVF"] in (8 * MIB, 16 * MIB)
    assert sizes[0]["LOGS"] in (32 * MIB, 64 * MIB)
    assert 8 * MIB <= sizes[1]["LOGS"] <= sizes[0]["LOGS"]  # of what was left
    assert sizes[2] == sizes[0]


async def test_many_environments_fit_on_one_server_and_one_too_many_is_told(launch) -> None:
    """Each reserves 256 MiB of memory for calls that wait."""

    async def start(number: int, server: EmbeddedServer) -> None:
        context = await open_context(server.address, env=f"env{number}", key=None)
        await context.bus.close()

    usual, small = launch(), launch(max_memory=512 * MIB)
    for number in range(10):
        await start(number, usual)
    for number in range(2):
        await start(number, small)
    with pytest.raises(ServiceError, match=r"no room left for it .* Raise `max_memory_store`"):
        await start(9, small)
    await start(0, small)  # what there is goes on
