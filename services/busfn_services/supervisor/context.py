"""The connection of a host, and what its workers need to make their own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from busfn.bus.base import Bus
from busfn.client import ClientOptions, open_bus
from busfn.concurrency.loops import Tasks, every
from busfn.config import BusAddress
from busfn.errors import Error
from busfn.protocol.codecs import Codecs
from busfn.protocol.subjects import Subjects
from busfn.streams import streams

RESTORE_PAUSE = 0.5
"""Seconds between attempts to make again what a server has lost."""

logger = logging.getLogger("busfn.host")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostContext:
    """What everything on a host shares."""

    bus: Bus
    subjects: Subjects
    codecs: Codecs
    address: BusAddress
    key: bytes | None = field(default=None, repr=False)


async def open_context(address: BusAddress, *, env: str, key: bytes | None) -> HostContext:
    """Connect and make sure that the environment's streams exist.

    Raises `ConnectionError`, `AuthError`, `VersionError`, or `ServiceError` for a server without JetStream.
    """
    subjects = Subjects(env)
    bus = await open_bus(ClientOptions(address=address, env=env, name="busfn-host"))
    try:
        await _ensure_streams(bus, subjects)
        restore_on_reconnect(bus, partial(_ensure_streams, bus, subjects))
    except BaseException:
        await bus.close()
        raise
    return HostContext(bus=bus, subjects=subjects, codecs=Codecs(key), address=address, key=key)


def restore_on_reconnect(bus: Bus, ensure: Callable[[], Awaitable[None]]) -> None:
    """Call ``ensure`` after each reconnect until it succeeds: a server that was started again has lost what it kept in
    memory."""
    tasks = Tasks(logger)

    async def restore() -> None:
        async for _ in every(RESTORE_PAUSE):
            if not bus.connected:
                return
            try:
                await ensure()
                return
            except Error as error:
                logger.info("not restored yet: %s", error)

    def on_reconnect() -> None:
        tasks.loop(restore(), "restore")

    bus.on_reconnect(on_reconnect)


async def _ensure_streams(bus: Bus, subjects: Subjects) -> None:
    """All at once: each costs the server a file or two, and whoever starts an app waits for them."""
    wanted = (bus.queues.ensure_stream(spec) for spec in streams(subjects))
    for outcome in await asyncio.gather(*wanted, return_exceptions=True):
        if outcome is not None:
            raise outcome
