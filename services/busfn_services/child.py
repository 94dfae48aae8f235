"""A service that another process of ours has started: told what to do on its standard input, and gone with it.

The first line of the input is JSON; the end of the input asks for a stop. Nothing else does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from busfn.config import BusAddress
from busfn_services.process import run_subordinate


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the parent says in its first line."""

    address: BusAddress
    env: str
    key: bytes | None = field(repr=False)
    host: str = ""
    """Names the host for controllers; one that is started again under its name replaces what died."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "address": asdict(self.address), "env": self.env, "key": self.key.hex() if self.key else "",
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Orders:
        """From the parent's JSON."""
        return cls(
            address=BusAddress.from_dict(data["address"]),
            env=data["env"],
            key=bytes.fromhex(data["key"]) or None,
            host=data.get("host", ""),
        )


Child = Callable[[Orders, asyncio.Event], Awaitable[int]]


def run_child(child: Child) -> int:
    """Run a service for the process that started us."""

    async def service(stop: asyncio.Event) -> int:
        reader = await standard_input()
        line = await reader.readline()
        if not line:
            return 0
        watching = asyncio.create_task(_until_end(reader, stop))
        try:
            return await child(Orders.from_dict(json.loads(line)), stop)
        finally:
            watching.cancel()

    return run_subordinate(service)


def say(**event: object) -> None:
    """Tell the parent something, as a line of JSON."""
    try:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
    except OSError:  # the parent is gone: the end of the input follows
        return


async def standard_input() -> asyncio.StreamReader:
    """Our standard input, to be read without blocking."""
    reader = asyncio.StreamReader(limit=1 << 26)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(0), "rb"))
    return reader


async def _until_end(reader: asyncio.StreamReader, stop: asyncio.Event) -> None:
    while await reader.readline():
        continue
    stop.set()
