"""One run of an app at a time: its name is leased in the environment's table while it is served."""

from __future__ import annotations

import asyncio
import secrets

from busfn.bus.stores import Table
from busfn.errors import ConflictError, Error
from busfn.registry import Registry

LEASE_TIME = 15.0
"""Seconds after which the name of a run that is gone is free again."""
RENEW_EVERY = 5.0


class Lease:
    """Holds an app's name; use it with ``async with``. Raises `ConflictError` when another run holds it."""

    def __init__(self, table: Table, app: str) -> None:
        self._table = table
        self._app = app
        self._key = _key(app)
        self._owner = secrets.token_hex(8).encode()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Lease:
        if not await self._table.create(self._key, self._owner, ttl=LEASE_TIME):
            raise ConflictError(
                f"an app named {self._app!r} is being run on this bus already: end that run, use another environment"
                f" (`--env`), or another name. If that run was killed, its name is free within {LEASE_TIME:g} s"
            )
        self._task = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._table.delete(self._key)
        except Error:  # it ends by itself
            return

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            try:
                await self._table.put(self._key, self._owner, ttl=LEASE_TIME)
            except Error:  # the bus is away: the next turn may reach it
                continue


async def is_run(table: Table, app: str) -> bool:
    """Whether somebody runs the app."""
    return await table.get(_key(app)) is not None


def _key(app: str) -> str:
    return f"run.{app}"


async def refuse_if_deployed(registry: Registry, app: str) -> None:
    """Raise `ConflictError` when the app is deployed on this bus: its workers and those of a run would take one
    another's calls."""
    state = await registry.state(app)
    if state is not None and not state.stopped:
        raise ConflictError(
            f"an app named {app!r} is deployed on this bus (version {state.version}): use another environment (`--env`)"
            f" or another name for the run, or stop the deployed one: busfn app stop {app}"
        )
