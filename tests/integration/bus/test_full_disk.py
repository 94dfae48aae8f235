"""A server whose disk is full: what cannot be stored is refused within seconds, and health says why."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from busfn.bus.core import NatsBus
from busfn.bus.server import EmbeddedServer
from busfn.errors import ConnectionError, ServiceError
from busfn.protocol.subjects import Subjects
from busfn.streams import streams
from busfn_cli.health import Check, stores

pytestmark = pytest.mark.anyio

SUBJECTS = Subjects("main")
SIZE = 24
"""MiB of the disk."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, for which one has to be root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "none", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no small disk can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_server(small_disk: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer.launch(store_dir=small_disk / "store").wait_ready()
    yield server
    server.stop()


async def fill(bus: NatsBus) -> Exception:
    """Store jobs until one is refused; returns why."""
    for number in range(20 * SIZE):
        try:
            await bus.queues.enqueue(SUBJECTS.job("a", "f", f"c{number}"), os.urandom(500_000))
        except (ServiceError, ConnectionError) as error:
            return error
    raise AssertionError("the disk is not full")


async def test_on_a_full_disk_a_spawn_fails_within_seconds_and_health_is_red(
    connected, small_server: EmbeddedServer
) -> None:
    bus = await connected(small_server.address)
    for spec in streams(SUBJECTS):
        await bus.queues.ensure_stream(spec)
    assert await stores(bus, SUBJECTS) == Check("store", True, "a job, a result and a row were stored and removed")
    for kind in ("JOBS", "RES"):
        assert await bus.queues.subjects(SUBJECTS.stream(kind), ">") == []  # it leaves nothing behind
    first = await fill(bus)
    assert isinstance(first, ServiceError)
    assert "its disk is full" in str(first)
    began = time.monotonic()
    with pytest.raises(ServiceError, match="its disk is full"):
        await bus.queues.enqueue(SUBJECTS.job("a", "f", "more"), b"x")
    assert time.monotonic() - began < 4.0  # 15 s if it were not known
    check = await stores(bus, SUBJECTS)
    assert not check.ok
    assert "its disk is full" in check.text
