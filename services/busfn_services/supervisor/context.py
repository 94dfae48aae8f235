"""The connection of a host, and what its workers need to make their own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from busfn.bus.base import Bus
from busfn.client import ClientOptions, open_bus
from busfn.config import BusAddress
from busfn.protocol.codecs import Codecs
from busfn.protocol.subjects import Subjects
from busfn.streams import streams


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
    except BaseException:
        await bus.close()
        raise
    return HostContext(bus=bus, subjects=subjects, codecs=Codecs(key), address=address, key=key)


async def _ensure_streams(bus: Bus, subjects: Subjects) -> None:
    """All at once: each costs the server a file or two, and whoever starts an app waits for them."""
    wanted = (bus.queues.ensure_stream(spec) for spec in streams(subjects))
    for outcome in await asyncio.gather(*wanted, return_exceptions=True):
        if outcome is not None:
            raise outcome
