"""Deploying an app: its code is packed and stored, its functions are entered in the registry, and whoever controls the
environment takes it from there."""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from busfn.bundle import Plan, pack, plan
from busfn.claims import Claims, while_deploying
from busfn.client import Client, ClientOptions
from busfn.config import Settings, load_settings
from busfn.deployment import Deployment, Strategy
from busfn.errors import ExecutionError, InvalidError
from busfn.protocol.codecs import BlobRef
from busfn.protocol.names import validate_name
from busfn.refs import Source
from busfn.registry import Registry
from busfn.sources import specs
from busfn.spec import FunctionSpec

if TYPE_CHECKING:
    from busfn.app import App

FOR_EVER = 0.0
STRATEGIES: dict[str, Strategy] = {"rolling": "rolling", "recreate": "recreate"}


@dataclass(frozen=True, slots=True)
class Draft:
    """An app that is ready to be deployed."""

    app: str
    functions: Sequence[FunctionSpec]
    code: Plan
    directory: str
    """Where the code comes from."""


def draft(app: App, name: str | None = None) -> Draft:
    """What a deploy of the app would store; no I/O but reading its files. Raises `InvalidError`."""
    given = specs(app)
    if not given:
        raise InvalidError(f"{app!r} has no functions to deploy")
    token = validate_name(name or app.name, "app")
    sources = [Source.from_dict(spec.source) for spec in given]
    code = plan(sources)
    functions = [
        replace(spec, app=token, source=code.placed[source].to_dict())
        for spec, source in zip(given, sources, strict=True)
    ]
    return Draft(token, functions, code, sources[0].directory)


def deploy(made: Draft, *, env: str | None, tag: str, strategy: str) -> Deployment:
    """Store a draft as the next version of its app. Raises `ExecutionError` without a bus or a signing key."""
    wanted = STRATEGIES.get(strategy)
    if wanted is None:
        raise InvalidError(f"`strategy` is one of {', '.join(STRATEGIES)}, not {strategy!r}")
    settings = load_settings(env=env)
    client = connect(settings)
    try:
        return client.link.portal.run(_store(client, made, tag, wanted))
    finally:
        client.close()


def connect(settings: Settings) -> Client:
    """A client for the configured bus. Raises `ExecutionError` when there is none, or no key to sign with."""
    if settings.address is None:
        raise ExecutionError("no bus is configured to deploy to: start `busfn up`, or set BUSFN_URL (or NATS_URL)")
    if settings.signing_key is None:
        raise ExecutionError(
            "deployments are signed, and there is no key: set BUSFN_SIGNING_KEY, the same for the hosts that run them"
        )
    return Client.open(ClientOptions(address=settings.address, env=settings.env, key=settings.signing_key))


async def _store(client: Client, made: Draft, tag: str, strategy: Strategy) -> Deployment:
    bus, key = client.link.bus, client.link.codecs.key
    assert key is not None
    archive = await asyncio.to_thread(pack, made.code.members)
    digest = hashlib.sha256(archive).hexdigest()
    chunks = await bus.blobs.put(digest, archive, ttl=FOR_EVER)
    new = Deployment(
        app=made.app,
        functions=tuple(made.functions),
        bundle=BlobRef(name=digest, size=len(archive), chunks=chunks, sha256=digest),
        deployed_at=time.time(),
        strategy=strategy,
        tag=tag,
        commit=await asyncio.to_thread(_commit, made.directory),
        by=_user(),
    )
    registry = Registry(bus, client.link.subjects)
    async with while_deploying(Claims(registry, bus.table(client.link.subjects.table)), made.app):
        return await registry.add(new, key)


def look_up_app(app: str, env: str | None) -> list[str]:
    """The functions of a deployed app. Raises `NotFoundError` when it is not deployed."""
    client = connect(load_settings(env=env))
    try:
        current = client.link.portal.run(Registry(client.link.bus, client.link.subjects).current(app))
    finally:
        client.close()
    return [one.name for one in current.functions if "." not in one.name]


async def roll_back(client: Client, app: str, version: int | None) -> Deployment:
    """Serve an earlier version again, as a new one; by default the one before the current.

    Raises `NotFoundError` when there is no such version, `InvalidError` when there is nothing to go back to.
    """
    registry, key = Registry(client.link.bus, client.link.subjects), client.link.codecs.key
    assert key is not None
    current = await registry.current(app)
    wanted = version if version is not None else current.version - 1
    if wanted == current.version or wanted < 1:
        raise InvalidError(f"app {app!r} is at version {current.version}, and there is none before it to go back to")
    old = Deployment.verify(await registry.stored(app, wanted), key)
    return await registry.add(replace(old, deployed_at=time.time(), rollback_of=wanted, by=_user(), tag=old.tag), key)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return ""


def _commit(directory: str) -> str:
    """The git commit of a folder, with a star when something was changed since; empty outside of git."""
    head = _git(directory, "rev-parse", "--short", "HEAD")
    return f"{head}*" if head and _git(directory, "status", "--porcelain", "-uno") else head


def _git(directory: str, *args: str) -> str:
    """What git says; nothing when there is no git, or no repository."""
    command = ["git", "-C", directory, *args]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout.strip()
