"""Deploying an app: its code is packed and stored, its functions are entered in the registry, and whoever controls the
environment takes it from there."""

from __future__ import annotations

import asyncio
import base64
import getpass
import hashlib
import os
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from busfn.bundle import Member, Plan, pack, pickled, plan
from busfn.claims import Claims, while_deploying
from busfn.client import Client, ClientOptions
from busfn.config import Settings, load_settings
from busfn.deployment import Deployment, Strategy
from busfn.errors import ExecutionError, InvalidError
from busfn.protocol.codecs import BlobRef
from busfn.protocol.names import validate_name
from busfn.refs import Source
from busfn.registry import Registry
from busfn.sources import sign_code, source_of, specs
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
    pickles: Mapping[str, bytes]
    """Functions that no host could import, by name; they are in the code, and are still to be signed."""

    def signed(self, key: bytes) -> Sequence[FunctionSpec]:
        """The functions, with signatures for those that are pickles."""
        return [
            replace(one, signature=sign_code(self.pickles[one.name], key)) if one.name in self.pickles else one
            for one in self.functions
        ]


def draft(app: App, name: str | None = None) -> Draft:
    """What a deploy of the app would store; no I/O but reading its files. Raises `InvalidError`."""
    given = specs(app)
    if not given:
        raise InvalidError(f"{app!r} has no functions to deploy")
    token = validate_name(name or app.name, "app")
    pickles = {spec.name: base64.b64decode(spec.code) for spec in given if spec.code}
    files = [Source.from_dict(spec.source) for spec in given if not spec.code]
    code = plan([*files, *_imported(pickles.values())])
    placed = [_placed(spec, code, pickles.get(spec.name)) for spec in given]
    members = {member.name: member for member in code.members} | {one.name: one for _, one in placed if one is not None}
    functions = [
        replace(spec, app=token, code="", source=source.to_dict())
        for spec, (source, _) in zip(given, placed, strict=True)
    ]
    code = replace(code, members=list(members.values()))
    return Draft(token, functions, code, files[0].directory if files else os.getcwd(), pickles)


def _imported(pickles: Iterable[bytes]) -> list[Source]:
    """The sources of modules that pickled functions import."""
    from busfn.serialized import modules  # which few apps need

    found = [source_of(name) for code in pickles for name in modules(code)]
    return [source for source in found if source is not None]


def _placed(spec: FunctionSpec, code: Plan, pickle: bytes | None) -> tuple[Source, Member | None]:
    """Where a function's code is in the bundle, and the file that is added for it."""
    source = Source.from_dict(spec.source)
    if pickle is None:
        return code.placed[source], None
    member, placed = pickled(source.target, pickle, [code.placed[one] for one in _imported([pickle])])
    return placed, member


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
        functions=tuple(made.signed(key)),
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
