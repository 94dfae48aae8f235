"""The connection of a host, and what its workers need to make their own."""

from __future__ import annotations

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
        for spec in streams(subjects):
            await bus.queues.ensure_stream(spec)
    except BaseException:
        await bus.close()
        raise
    return HostContext(bus=bus, subjects=subjects, codecs=Codecs(key), address=address, key=key)
