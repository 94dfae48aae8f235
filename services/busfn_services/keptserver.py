"""An embedded server that is started again when it has died, or can store nothing any more."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

from busfn.bus.server import EmbeddedServer
from busfn.concurrency.loops import Faults, LoopTask
from busfn.errors import ConnectionError
from busfn_services.kept import FIRST_PAUSE, LONGEST_PAUSE, STEADY, Note

READY_TIMEOUT = 60.0
"""Seconds to read what is stored; after a kill it is read in full."""
ROOM = 8 << 20
"""Bytes that must be free on the disk before a server that ran out of them is started again."""
LOOK_EVERY = 1.0
"""Seconds between looks for room."""

logger = logging.getLogger("busfn.up")


class KeptServer:
    """Owner of an embedded server with a store; ``async with`` gives its address for as long as it lasts."""

    def __init__(self, store: Path, token: str, note: Note, *, port: int = 0, usual: int = 0) -> None:
        """``port`` is the one that it must have; without it, it gets the ``usual`` one, or another if that is taken."""
        self._store = store
        self._token = token
        self._note = note
        self._port = port
        self._usual = usual
        self._server: EmbeddedServer | None = None
        self._stopping = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> EmbeddedServer:
        self._server = await asyncio.to_thread(self._first)
        self._keeper = LoopTask(self._keep(self._server), "server", faults=Faults(logger))
        return self._server

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        assert self._keeper is not None
        await self._keeper

    def _first(self) -> EmbeddedServer:
        wanted = self._port or self._usual
        if wanted:
            try:
                return self._launch(wanted)
            except ConnectionError as error:
                if self._port or "address already in use" not in str(error):
                    raise
                self._note(f"port {wanted}, which was used before, is taken: using another one")
        return self._launch(-1)

    def _launch(self, port: int) -> EmbeddedServer:
        server = EmbeddedServer.launch(store_dir=self._store, port=port, token=self._token)
        return server.wait_ready(READY_TIMEOUT)

    async def _keep(self, server: EmbeddedServer) -> None:
        """Until we are told to stop; others need the server until then, also while they stop themselves."""
        pause, began = FIRST_PAUSE, time.monotonic()
        while await self._fault_of(server):
            if server.ended:
                self._note("the NATS server has died; it is started again")
            elif not await self._wait_for_room():
                break
            pause = FIRST_PAUSE if time.monotonic() - began > STEADY else min(2 * pause, LONGEST_PAUSE)
            server, began = await self._started_again(server, pause), time.monotonic()
        await asyncio.to_thread(server.stop)

    async def _fault_of(self, server: EmbeddedServer) -> bool:
        """Wait for one; False when we are told to stop."""
        fault = asyncio.ensure_future(asyncio.to_thread(server.wait_fault))
        await self._stop_or(fault)
        return not self._stopping.is_set()

    async def _wait_for_room(self) -> bool:
        """Until a file may grow again; False when we are told to stop before."""
        self._note(f"the NATS server cannot store: no room in {self._store}? It is started again when there is")
        while not await asyncio.to_thread(_has_room, self._store):
            if await self._stop_or(asyncio.ensure_future(asyncio.sleep(LOOK_EVERY))):
                return False
        self._note("there is room again: the NATS server is started again")
        return True

    async def _started_again(self, old: EmbeddedServer, pause: float) -> EmbeddedServer:
        """Under the address of the old one; tried until it works, or until we are told to stop."""
        await asyncio.to_thread(old.stop)
        while not await self._stop_or(asyncio.ensure_future(asyncio.sleep(pause))):
            try:
                return await asyncio.to_thread(self._launch, old.port)
            except ConnectionError as error:
                pause = min(2 * pause, LONGEST_PAUSE)
                self._note(f"the NATS server does not start: {error}; it is tried again in {pause:g} s")
        return old

    async def _stop_or(self, other: asyncio.Future[None]) -> bool:
        """Wait until we are told to stop, or for something else; tells whether it was the former."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait((stopping, other), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        return self._stopping.is_set()


def _has_room(folder: Path) -> bool:
    probe = folder / f"busfn-room.{os.getpid()}"
    try:
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(fd, bytes(ROOM)) if not hasattr(os, "posix_fallocate") else os.posix_fallocate(fd, 0, ROOM)
        finally:
            os.close(fd)
            probe.unlink()
    except OSError:
        return False
    return True
