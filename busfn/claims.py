"""Who serves an app's name: the rule for `run`, `serve`, `worker` and `deploy`, and the claims that are kept in the
environment's table.

Keys: ``run.<app>`` is the claim on a name, which ends by itself when it is not renewed; ``aside.<token>`` notes a run
that has a token of its own, for as long as it may have left something on the bus.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Literal

from busfn.bus.stores import Entry, Table
from busfn.errors import ConflictError, Error
from busfn.protocol.names import run_token
from busfn.registry import Registry

Use = Literal["run", "serve", "worker", "deploy"]
"""What somebody wants the name for."""
Situation = Literal["free", "deployed", "run", "serve", "worker", "deploy"]
"""Who has the name already; ``deploy`` while a first deploy is being written."""

CLAIM_TIME = 15.0
"""Seconds after which the name of a process that was killed is free again."""
ABANDONED_AFTER = 24 * 3600.0
"""Seconds after which what a silent run has left on the bus is removed."""
ATTEMPTS = 200
PAUSE = 0.05


class Place(Enum):
    """Where an app is served."""

    NAME = "under its name"
    ASIDE = "under a token of its own"
    REFUSED = "not at all"


RULE: Mapping[Use, Mapping[Situation, Place]] = {
    "run": {
        "free": Place.NAME, "deployed": Place.ASIDE, "run": Place.ASIDE, "serve": Place.ASIDE,
        "worker": Place.ASIDE, "deploy": Place.ASIDE,
    },
    "serve": {
        "free": Place.NAME, "deployed": Place.REFUSED, "run": Place.REFUSED, "serve": Place.REFUSED,
        "worker": Place.REFUSED, "deploy": Place.REFUSED,
    },
    "worker": {
        "free": Place.NAME, "deployed": Place.REFUSED, "run": Place.REFUSED, "serve": Place.REFUSED,
        "worker": Place.NAME, "deploy": Place.REFUSED,
    },
    "deploy": {
        "free": Place.NAME, "deployed": Place.NAME, "run": Place.REFUSED, "serve": Place.REFUSED,
        "worker": Place.REFUSED, "deploy": Place.NAME,
    },
}  # fmt: skip
"""One rule for everybody; `docs/operate.md` shows it."""


def place_of(use: Use, situation: Situation, *, join: bool = False) -> Place:
    """Where an app is served. Pure. ``join`` is for workers: beside those who serve the name already."""
    return Place.NAME if join else RULE[use][situation]


@dataclass(frozen=True, slots=True)
class Claim:
    """Who has a name, as it is stored."""

    use: Use
    owners: tuple[str, ...]
    """The processes that share it: any number of `busfn worker`, else one."""
    where: str = ""
    since: float = 0.0
    """Unix seconds."""

    def encode(self) -> bytes:
        data = {"use": self.use, "owners": self.owners, "where": self.where, "since": self.since}
        return json.dumps(data).encode()

    @classmethod
    def decode(cls, stored: bytes) -> Claim:
        """What cannot be read is a run: an older busfn stored nothing but a random owner."""
        try:
            data = json.loads(stored)
            use: Use = data["use"] if data["use"] in RULE else "run"
            return cls(use, tuple(map(str, data["owners"])), str(data["where"]), float(data["since"]))
        except (ValueError, TypeError, KeyError):
            return cls("run", (stored.decode(errors="replace"),))


@dataclass(slots=True)
class Held:
    """What a process has claimed."""

    app: str
    token: str
    """The app in subjects: its name, or the run's own token."""
    claim: Claim
    functions: list[str] = field(default_factory=list[str])
    """What is served aside, to be removed from the bus should the run vanish."""

    @property
    def aside(self) -> bool:
        return self.token != self.app

    @property
    def owner(self) -> str:
        return self.claim.owners[0]


class Claims:
    """The claims of an environment; loop thread only."""

    def __init__(self, registry: Registry, table: Table) -> None:
        self._registry = registry
        self._table = table

    async def take(self, app: str, use: Use) -> Held:
        """Claim the name of an app, or a token beside it where the rule says so. Raises `ConflictError`."""
        mine = Claim(use, (secrets.token_hex(8),), f"{os.uname().nodename}, process {os.getpid()}", time.time())
        for _ in range(ATTEMPTS):
            entry, situation = await self._look(app)
            place = place_of(use, situation)
            if place is Place.ASIDE:
                held = Held(app, run_token(app, secrets.token_hex(4)), mine)
                await self.renew(held)
                return held
            if place is Place.REFUSED:
                raise ConflictError(await self._refusal(app, use, situation, entry))
            if await self._write(app, mine, entry):
                if use == "deploy" or not await self.deployed(app):
                    return Held(app, app, mine)
                await self._leave(app, mine.owners[0])  # it was deployed between our look and our claim
            await asyncio.sleep(PAUSE)
        raise ConflictError(f"the name {app!r} is being claimed by many at once: try again")

    async def renew(self, held: Held) -> bool:
        """Keep a claim; False when others have the name by now, because the bus was away for too long."""
        if held.aside:
            await self._table.put(f"aside.{held.token}", _aside(held, time.time()))
            return True
        entry = await self._table.entry(_key(held.app))
        if entry is None:
            return await self._table.create(_key(held.app), held.claim.encode(), ttl=CLAIM_TIME)
        known = Claim.decode(entry.value)
        if held.owner not in known.owners and (known.use, held.claim.use) != ("worker", "worker"):
            return False
        owners = tuple(dict.fromkeys((*known.owners, held.owner)))
        kept = replace(known, owners=owners)
        await self._table.update(_key(held.app), kept.encode(), entry.revision, ttl=CLAIM_TIME)
        return True  # when it was refused, another one that shares the claim has just renewed it

    async def give_back(self, held: Held) -> None:
        """Claim it no longer."""
        if held.aside:
            await self._table.delete(f"aside.{held.token}")
        else:
            await self._leave(held.app, held.owner)

    async def all(self) -> dict[str, Claim]:
        """Who serves which app without a deployment, by the app's token."""
        named = {key.partition(".")[2]: entry.value for key, entry in (await self._table.entries("run.*")).items()}
        aside = {key.partition(".")[2]: entry.value for key, entry in (await self._table.entries("aside.*")).items()}
        return {token: Claim.decode(value) for token, value in sorted((named | aside).items())}

    async def abandoned(self, now: float) -> list[tuple[str, list[str]]]:
        """Tokens of runs that vanished long ago, with their functions."""
        found: list[tuple[str, list[str]]] = []
        for key, entry in (await self._table.entries("aside.*")).items():
            functions, seen = _read_aside(entry.value)
            if now - seen > ABANDONED_AFTER:
                found.append((key.partition(".")[2], functions))
        return found

    async def forget(self, token: str) -> None:
        """Nothing of a vanished run is left."""
        await self._table.delete(f"aside.{token}")

    async def _look(self, app: str) -> tuple[Entry | None, Situation]:
        if await self.deployed(app):
            return None, "deployed"
        entry = await self._table.entry(_key(app))
        return entry, "free" if entry is None else Claim.decode(entry.value).use

    async def deployed(self, app: str) -> bool:
        """Whether a deployment has the name."""
        state = await self._registry.state(app)
        return state is not None and not state.stopped

    async def _write(self, app: str, mine: Claim, entry: Entry | None) -> bool:
        if entry is None:
            return await self._table.create(_key(app), mine.encode(), ttl=CLAIM_TIME)
        known = Claim.decode(entry.value)
        if mine.use != "worker":  # another deploy is being written: wait for its end
            return False
        shared = replace(known, owners=(*known.owners, *mine.owners))
        return await self._table.update(_key(app), shared.encode(), entry.revision, ttl=CLAIM_TIME) is not None

    async def _leave(self, app: str, owner: str) -> None:
        for _ in range(ATTEMPTS):
            entry = await self._table.entry(_key(app))
            known = None if entry is None else Claim.decode(entry.value)
            if entry is None or known is None or owner not in known.owners:
                return
            left = replace(known, owners=tuple(one for one in known.owners if one != owner))
            if not left.owners:
                await self._table.delete(_key(app))
                return
            if await self._table.update(_key(app), left.encode(), entry.revision, ttl=CLAIM_TIME) is not None:
                return

    async def _refusal(self, app: str, use: Use, situation: Situation, entry: Entry | None) -> str:
        claim = None if entry is None else Claim.decode(entry.value)
        state = await self._registry.state(app) if situation == "deployed" else None
        return refusal(app, use, situation, claim, state.version if state is not None else 0)


@asynccontextmanager
async def while_deploying(claims: Claims, app: str) -> AsyncGenerator[None]:
    """Keeps others from taking the name while the first version of an app is written. Raises `ConflictError`."""
    held = None if await claims.deployed(app) else await claims.take(app, "deploy")
    try:
        yield
    finally:
        if held is not None:
            with suppress(Error):  # it ends by itself
                await claims.give_back(held)


async def is_claimed(table: Table, app: str) -> bool:
    """Whether a run or a `busfn serve` serves the app: these tidy up the bus themselves when they end."""
    stored = await table.get(_key(app))
    return stored is not None and Claim.decode(stored).use in ("run", "serve")


def refusal(app: str, use: Use, situation: Situation, claim: Claim | None, version: int) -> str:
    """Why a name cannot be had, and what to do. Pure."""
    who = f" ({claim.where})" if claim is not None and claim.where else ""
    if situation == "deployed":
        what = f"an app named {app!r} is deployed on this bus (version {version})"
    elif situation == "deploy":
        what = f"an app named {app!r} is being deployed on this bus"
    elif situation == "worker":
        what = f"an app named {app!r} is being served on this bus already, by `busfn worker`{who}"
    else:
        what = f"an app named {app!r} is being run on this bus already, by `busfn {situation}`{who}"
    return f"{what}: {_ADVICE[use]}{_STOP.get(situation, '')}"


_ADVICE: Mapping[Use, str] = {
    "run": "use another name",
    "serve": "the two would take one another's calls. Use another environment (`--env`) or another name",
    "worker": (
        "these workers would take its calls. If that is meant, say `--join`;"
        " else use another environment (`--env`) or another name"
    ),
    "deploy": "the two would take one another's calls. End that first, or deploy under another name (`--name`)",
}
_STOP: Mapping[Situation, str] = {
    "run": f". If that run was killed, its name is free within {CLAIM_TIME:g} s",
    "serve": f". If that process was killed, its name is free within {CLAIM_TIME:g} s",
    "worker": f". If those workers were killed, the name is free within {CLAIM_TIME:g} s",
}


def _key(app: str) -> str:
    return f"run.{app}"


def _aside(held: Held, now: float) -> bytes:
    return json.dumps({**json.loads(held.claim.encode()), "functions": held.functions, "seen": now}).encode()


def _read_aside(stored: bytes) -> tuple[list[str], float]:
    """Functions, and when the run was there last; one that cannot be read is kept."""
    try:
        data = json.loads(stored)
        return [str(one) for one in data["functions"]], float(data["seen"])
    except (ValueError, TypeError, KeyError):
        return [], float("inf")
