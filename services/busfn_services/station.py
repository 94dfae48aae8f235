"""One machine's stack, kept running in the foreground: a NATS server (unless one is configured), a host for workers,
and a controller. What dies is started again; workers outlive their controller, and clients of the same user find the
bus without configuration.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from busfn.config import BusAddress, Settings, running
from busfn_services.child import Orders
from busfn_services.home import Identity, Lock, write_private
from busfn_services.kept import KeptChild, Note
from busfn_services.keptserver import KeptServer
from busfn_services.supervisor.agent import new_host


@dataclass(frozen=True, slots=True, kw_only=True)
class StationOptions:
    """Where a stack lives."""

    settings: Settings
    folder: Path
    """Keeps the server's data and the stack's identity."""
    runtime: Path
    """Tells clients of the same user how to reach the bus."""
    port: int = 0
    """Of an embedded server; 0 takes the last one, or a free one."""


class Station:
    """The processes of one machine; `run` keeps them until it is told to stop."""

    def __init__(self, options: StationOptions, note: Note, on_ready: Callable[[BusAddress], None]) -> None:
        self._options = options
        self._note = note
        self._on_ready = on_ready

    async def run(self, stop: asyncio.Event) -> int:
        """Start everything, then keep it running. Raises `ConflictError` when such a stack runs already."""
        async with AsyncExitStack() as stack:
            settings = self._options.settings
            lock = Lock(self._options.folder, settings.env, server=settings.address is None)
            stack.enter_context(lock)
            orders, own = await self._open_bus(stack)
            lock.tell(", ".join(orders.address.servers))
            # In this order, so that the controller goes first: nobody starts workers on a host that is being stopped.
            children = [
                await stack.enter_async_context(KeptChild(name, f"busfn_services.{module}", orders, self._note))
                for name, module in (("host", "agentd"), ("controller", "controllerd"))
            ]
            await asyncio.gather(*(child.wait_ready() for child in children))
            if own and self._announce(orders):
                stack.callback(self._options.runtime.unlink, missing_ok=True)
            self._on_ready(orders.address)
            await stop.wait()
            self._note("stopping: what runs has 30 s to finish")
        return 0

    async def _open_bus(self, stack: AsyncExitStack) -> tuple[Orders, bool]:
        """What our children have to know, and whether the bus is ours."""
        settings, folder = self._options.settings, self._options.folder
        identity = Identity.load(folder)
        key = settings.signing_key or identity.signing_key.encode()
        if settings.address is not None:
            self._note(f"using the NATS server of {settings.source}")
            if settings.signing_key is None:
                self._note(f"no BUSFN_SIGNING_KEY is set: who deploys needs the one in {folder / 'identity.json'}")
            identity.save(folder)
            return Orders(address=settings.address, env=settings.env, key=key, host=new_host()), False
        port, store = self._options.port, folder / "store"
        kept = KeptServer(store, identity.token, self._note, port=port, usual=identity.port)
        server = await stack.enter_async_context(kept)
        Identity(token=identity.token, signing_key=identity.signing_key, port=server.port).save(folder)
        return Orders(address=server.address, env=settings.env, key=key, host=new_host()), True

    def _announce(self, orders: Orders) -> bool:
        """Let clients of this user find us; False when they find another stack."""
        address, other = orders.address, running(self._options.runtime)
        if other is not None:
            self._note(
                f"clients of this user find another `busfn up` (process {other}); for this one, set BUSFN_URL and"
                f" BUSFN_SIGNING_KEY: its token and its key are in {self._options.folder / 'identity.json'}"
            )
            return False
        where = ",".join(_with_token(server, address.token) for server in address.servers)
        key = orders.key.decode() if orders.key else ""
        write_private(self._options.runtime, {"url": where, "signing_key": key, "pid": os.getpid()})
        return True


def _with_token(server: str, token: str) -> str:
    return server.replace("://", f"://{token}@", 1) if token else server
