"""A server that takes small messages only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import joint
import pytest

from busfn.bus.server import EmbeddedServer

MOST = 16 * 1024


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    server = EmbeddedServer.launch(max_payload=MOST).wait_ready()
    url = server.address.servers[0].replace("nats://", f"nats://{server.address.token}@")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUSFN_URL", url)
        with joint.app.run():
            yield
    server.stop()


def test_what_is_too_large_for_it_arrives_all_the_same() -> None:
    body = bytes(range(256)) * 128
    assert joint.act.remote("give", body) == body


def test_so_does_what_is_too_large_together() -> None:
    async def make() -> list[bytes]:
        return await asyncio.gather(*(joint.act.remote.aio("give", bytes([i]) * 3000) for i in range(30)))

    joint.act.remote("give", 0)
    assert asyncio.run(make()) == [bytes([i]) * 3000 for i in range(30)]


def test_and_maps() -> None:
    bodies = [bytes([i]) * 20_000 for i in range(6)]
    assert list(joint.act.starmap(("give", body) for body in bodies)) == bodies


def test_and_spawned_calls() -> None:
    call = joint.act.spawn("give", b"x" * 40_000)
    assert call.get(timeout=20) == b"x" * 40_000
