"""Deployed apps, their versions and settings, in the environment's table.

Keys: ``app.<app>`` which version is served; ``version.<app>.<n>`` a version, never changed; ``scale.<app>.<function>``
settings that hold until the next deploy; ``pin.<app>.<n>`` versions that somebody insists on, and when somebody last
did; ``run.<app>`` and ``lead`` are leases. Whoever has changed something says so on a subject, so that controllers look
at once.

A row that cannot be read is set aside: it is logged once, `bad_rows` lists it, and the others count.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from busfn.bus.base import Bus, Subscription
from busfn.bus.stores import Entry
from busfn.deployment import AppState, Deployment
from busfn.errors import ConflictError, Error, NotFoundError, ProtocolError
from busfn.protocol.subjects import Subjects
from busfn.registry_rows import (
    ENDED,
    ROWS,
    BadRow,
    Override,
    Pin,
    check_place,
    fault,
    number_of,
    read_override,
    read_pin,
    read_settings,
    read_state,
    read_version,
)
from busfn.streams import RETENTION

T = TypeVar("T")

logger = logging.getLogger("busfn.registry")

MAX_LOGGED = 100
"""Bad rows that one process logs."""
ATTEMPTS = 20
"""Writes that may lose against others before we give up."""

PINNED_FOR = RETENTION
"""Seconds that a version is served beside the current one after somebody has last insisted on it."""
PIN_AGE = 24 * 3600.0
"""Seconds after which it is noted again that somebody still does."""
_ENDING = 1.0


class Registry:
    """The deployed apps of an environment; loop thread only."""

    def __init__(self, bus: Bus, subjects: Subjects) -> None:
        self._bus = bus
        self._subjects = subjects
        self._table = bus.table(subjects.table)
        self._logged: set[str] = set()
        """Bad rows that were logged."""

    # reading

    async def state(self, app: str) -> AppState | None:
        """Which version is served; None for an app that was never deployed."""
        stored = await self._table.get(f"app.{app}")
        return None if stored is None else AppState.decode(stored)

    async def states(self) -> dict[str, AppState]:
        """All apps that were ever deployed."""
        return dict(self._good(await self._table.entries("app.*"), read_state).values())

    async def bad_rows(self) -> list[BadRow]:
        """All rows that cannot be read."""
        found: list[BadRow] = []
        for pattern, read in ROWS.items():
            for key, entry in sorted((await self._table.entries(pattern)).items()):
                reason = fault(key, entry, read)
                if reason:
                    found.append(BadRow(key, reason))
        return found

    def _good(self, found: Mapping[str, Entry], read: Callable[[str, Entry], T]) -> dict[str, T]:
        """What can be read, by key."""
        good: dict[str, T] = {}
        for key, entry in sorted(found.items()):
            try:
                good[key] = read(key, entry)
            except Error as error:
                self._set_aside(key, error)
        return good

    def _set_aside(self, key: str, error: Error) -> None:
        if key not in self._logged and len(self._logged) < MAX_LOGGED:
            self._logged.add(key)
            logger.warning("row %s of the registry is set aside: %s", key, error)

    async def names(self) -> list[str]:
        """Apps that are deployed, or have the name for a run or for workers."""
        keys = [*await self._table.entries("app.*"), *await self._table.entries("run.*")]
        return sorted({key.partition(".")[2] for key in keys})

    async def stored(self, app: str, version: int) -> bytes:
        """A version as it is stored, to be verified. Raises `NotFoundError`."""
        stored = await self._table.get(f"version.{app}.{version}")
        if stored is None:
            raise NotFoundError(f"app {app!r} has no version {version}")
        return stored

    async def deployment(self, app: str, version: int) -> Deployment:
        """A version, to be looked at. Raises `NotFoundError`, and `ProtocolError` when it cannot be read."""
        return check_place(Deployment.decode(await self.stored(app, version)), app, version)

    async def current(self, app: str) -> Deployment:
        """The version that is served. Raises `NotFoundError` when there is none."""
        state = await self.state(app)
        if state is None or state.stopped:
            what = "is not deployed" if state is None else "was stopped"
            advice = "`busfn app list` shows what there is" if state is None else "deploy it again"
            raise NotFoundError(f"app {app!r} {what} in environment {self._subjects.env!r}: {advice}")
        return await self.deployment(app, state.version)

    async def history(self, app: str) -> list[Deployment]:
        """All versions, oldest first."""
        found = self._good(await self._table.entries(f"version.{app}.*"), read_version)
        return sorted(found.values(), key=lambda one: one.version)

    async def overrides(self) -> dict[tuple[str, str], Override]:
        """Scaling settings by app and function."""
        return dict(self._good(await self._table.entries("scale.>"), read_override).values())

    async def pins(self) -> list[Pin]:
        """Versions that somebody insists on."""
        found = self._good(await self._table.entries("pin.*.*"), read_pin)
        return [pin for pin in found.values() if pin is not None]

    # writing

    async def add(self, draft: Deployment, key: bytes) -> Deployment:
        """Store a new version and have it served; returns it with its number."""
        taken = await self._table.entries(f"version.{draft.app}.*")  # a row that cannot be read has its number, too
        number = max((number_of(key.rpartition(".")[2]) or 0 for key in taken), default=0) + 1
        for version in range(number, number + ATTEMPTS):
            made = replace(draft, version=version)
            if await self._table.create(f"version.{made.app}.{version}", made.encode(key)):
                await self._set(made.app, partial(_served, version))
                return made
        raise ConflictError(f"app {draft.app!r} is being deployed by many at once: try again")

    async def stop(self, app: str) -> bool:
        """Have an app served no more; tells whether it was. Raises `NotFoundError`."""
        state = await self.state(app)
        if state is None:
            raise NotFoundError(f"app {app!r} is not deployed in environment {self._subjects.env!r}")
        await self._set(app, lambda old: replace(old or state, stopped=True, changed_at=time.time()))
        return not state.stopped

    async def override(
        self, app: str, function: str, change: Mapping[str, Any], check: Callable[[Mapping[str, Any]], object]
    ) -> Mapping[str, Any]:
        """Change scaling settings of a function until its next deploy; returns all that are set.

        ``check`` raises if they do not go together.
        """
        key, state = f"scale.{app}.{function}", await self.state(app)
        version = state.version if state else 0
        for _ in range(ATTEMPTS):
            entry = await self._table.entry(key)
            settings = {**_settings(entry, version), **change}
            check(settings)
            if await self._write(key, json.dumps({"version": version, "settings": settings}).encode(), entry):
                self._tell()
                return settings
        raise ConflictError(f"{app}.{function} is being changed by many at once: try again")

    async def forget_overrides(self, app: str) -> None:
        """A new run of an app starts with what its code says."""
        for key in await self._table.entries(f"scale.{app}.>"):
            await self._table.delete(key)

    async def pin(self, app: str, version: int, now: float) -> None:
        """Have a version served beside the current one, until nobody has insisted on it for `PINNED_FOR` seconds."""
        key = f"pin.{app}.{version}"
        entry = await self._table.entry(key)
        known = None if entry is None or fault(key, entry, read_pin) else read_pin(key, entry)
        if known is None or now - known.wanted_at > PIN_AGE:
            await self._table.put(key, repr(now).encode())
        if known is None:
            self._tell()

    async def end_pin(self, pin: Pin) -> bool:
        """Have a version served no more; False when somebody insists on it again."""
        # Unlike a delete, this is refused when the pin was renewed since; what it writes goes by itself.
        key = f"pin.{pin.app}.{pin.version}"
        if await self._table.update(key, ENDED, pin.revision, ttl=_ENDING) is None:
            return False
        self._tell()
        return True

    async def watch(self, on_change: Callable[[], None]) -> Subscription:
        """Be told that something was changed."""
        return await self._bus.subscribe(self._subjects.registry, lambda _: on_change())

    async def _set(self, app: str, change: Callable[[AppState | None], AppState]) -> None:
        key = f"app.{app}"
        for attempt in range(ATTEMPTS):
            entry = await self._table.entry(key)
            state = change(None if entry is None else _known_state(entry))
            if await self._write(key, state.encode(), entry):
                self._tell()
                return
            await asyncio.sleep(0.01 * attempt)
        raise ConflictError(f"app {app!r} is being changed by many at once: try again")

    async def _write(self, key: str, value: bytes, seen: Entry | None) -> bool:
        if seen is None:
            return await self._table.create(key, value)
        return await self._table.update(key, value, seen.revision) is not None

    def _tell(self) -> None:
        self._bus.publish(self._subjects.registry)


def _settings(entry: Entry | None, version: int) -> Mapping[str, Any]:
    """What is set for this version; a row that cannot be read is written anew."""
    if entry is None:
        return {}
    try:
        known = read_settings(entry)
    except Error:
        return {}
    return known.settings if known.version == version else {}


def _known_state(entry: Entry) -> AppState | None:
    """None for a row that cannot be read: it is written anew."""
    try:
        return AppState.decode(entry.value)
    except ProtocolError:
        return None


def _served(version: int, state: AppState | None) -> AppState:
    """Two deploys at once: the higher number is served."""
    newest = version if state is None else max(version, state.version)
    return AppState(version=newest, changed_at=time.time())
