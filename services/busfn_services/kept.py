"""A process of ours that is started again when it dies."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from busfn.concurrency.loops import Tasks, isolated, turns
from busfn.errors import ServiceError
from busfn_services.child import Orders
from busfn_services.lines import Lines

READY_TIMEOUT = 30.0
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
STEADY = 30.0
"""Seconds after which a process that dies counts as one that had worked."""
FAREWELL = 45.0
"""Seconds a process has to end when it is asked to; the host waits 30 s for running inputs."""

logger = logging.getLogger("busfn.up")

Note = Callable[[str], None]
"""Shown to whoever watches."""


class KeptChild:
    """A process of ours that is started again when it dies; use it with ``async with``, and `wait_ready`."""

    def __init__(self, name: str, module: str, orders: Orders, note: Note) -> None:
        self._name = name
        self._module = module
        self._orders = orders
        self._note = note
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._tasks = Tasks(logger)
        self._keeper: asyncio.Task[None] | None = None
        self._pause = FIRST_PAUSE
        self._began = 0.0
        self._code = 0
        self._stopping = False

    async def __aenter__(self) -> KeptChild:
        self._keeper = self._tasks.loop(self._keep(), "keeper", self._name)
        return self

    async def wait_ready(self) -> None:
        """Until it has said that it is; raises `ServiceError` when it ends before, or takes too long."""
        assert self._keeper is not None
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait((ready, self._keeper), timeout=READY_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            raise ServiceError(f"the {self._name} did not get ready; its messages are above")

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                async with asyncio.timeout(FAREWELL):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        await self._tasks.cancel()

    async def _keep(self) -> None:
        async for _ in turns(self._run_once, at_once=False):
            if self._stopping or not self._ready.is_set():
                return  # one that never worked is for whoever started us to report
            steady = time.monotonic() - self._began > STEADY
            self._pause = FIRST_PAUSE if steady else min(self._pause * 2, LONGEST_PAUSE)
            self._note(f"the {self._name} ended ({_describe(self._code)}); it is started again")
            await asyncio.sleep(self._pause)

    async def _run_once(self) -> None:
        self._began = time.monotonic()
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module, start_new_session=True, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(ConnectionResetError, BrokenPipeError):  # it ended at once: its exit code says so
            process.stdin.write(json.dumps(self._orders.to_dict()).encode() + b"\n")
            await process.stdin.drain()
        lines = Lines(process.stdout)
        async for _ in turns(lines.wait, at_once=False):
            if not lines.line:
                break
            with isolated(f"a line of the {self._name}"):
                self._hear(json.loads(lines.line))
        self._code = await process.wait()

    def _hear(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "ready":
            self._ready.set()
        elif event["event"] == "note":
            self._note(str(event["text"]))


def _describe(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
