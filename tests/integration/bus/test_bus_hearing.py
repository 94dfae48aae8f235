"""When a pull was last heard of: what is asked again without an answer is still unanswered."""

from __future__ import annotations

import asyncio
import logging

import pytest
from proxies import Proxy
from readers import reader

from busfn.bus import pull as pull_module
from busfn.bus.base import StreamSpec
from busfn.bus.server import EmbeddedServer
from busfn.config import BusAddress

pytestmark = pytest.mark.anyio


async def until(condition, timeout: float = 20.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


async def test_silence_lasts_although_pulls_are_asked_again(
    server: EmbeddedServer, connected, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pull_module, "HEARTBEAT", 0.2)
    with Proxy("127.0.0.1", server.port) as proxy:
        bus = await connected(BusAddress(servers=(f"nats://127.0.0.1:{proxy.port}",), token=server.address.token))
        await bus.queues.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.>",)))
        await bus.queues.ensure_consumer(reader(name))
        puller = bus.queues.pull(reader(name), lambda: 1, lambda _: None)
        begun = puller.heard
        await until(lambda: puller.heard > begun)  # by heartbeats
        await asyncio.to_thread(proxy.cut)
        await asyncio.sleep(0.1)  # for what was on its way
        silent_since = puller.heard
        with caplog.at_level(logging.WARNING, "busfn.bus"):
            await until(lambda: sum("asking again" in message for message in caplog.messages) == 2)
        assert puller.heard == silent_since
        await asyncio.to_thread(proxy.heal)
        await until(lambda: puller.heard > silent_since)
        await puller.stop()
