"""`busfn deploy`: import, choose the app, store it, wait until it is served."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from busfn.app import App
from busfn.client import Client
from busfn.config import load_settings
from busfn.deploying import Draft, connect, draft
from busfn.deploying import deploy as store
from busfn.deployment import Deployment
from busfn.errors import Error, InvalidError
from busfn.operating import Operator
from busfn.refs import load, parse_ref, resolve
from busfn_cli.console import Console, nobody_reads
from busfn_cli.tracebacks import describe

SERVED_WITHIN = 5.0
"""Seconds in which a controller takes a new version in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployRequest:
    """What the command line asks for."""

    ref: str
    is_module: bool
    name: str | None
    env: str | None
    tag: str
    strategy: str
    dry_run: bool


def deploy(request: DeployRequest, console: Console) -> int:
    """Deploy and report; returns the exit code."""
    try:
        made = _draft(request)
        if request.dry_run:
            _show(made, console)
            return 0
        new = store(made, env=request.env, tag=request.tag, strategy=request.strategy)
        names = ", ".join(one.name for one in new.functions)
        console.result(f"deployed {new.app} version {new.version}: {names}")
        if not _served(new, request.env):
            console.note("no controller has taken it in yet: start `busfn up`, or see `busfn health`")
    except KeyboardInterrupt:
        return 130
    except SystemExit:
        raise
    except BaseException as error:
        if isinstance(error, BrokenPipeError) and nobody_reads():
            raise  # typer ends quietly
        console.error(describe(error))
        return 1
    return 0


def _draft(request: DeployRequest) -> Draft:
    source = resolve(parse_ref(request.ref, module=request.is_module), os.getcwd())
    shown, _, name = request.ref.partition("::")
    return draft(choose_app(vars(load(source)), name, shown), request.name)


def choose_app(namespace: Mapping[str, Any], name: str, shown: str) -> App:
    """The app that is meant: the named one, else the only one, else the one called ``app``. Raises `InvalidError`."""
    apps = {key: value for key, value in namespace.items() if isinstance(value, App)}
    if name:
        if name not in apps:
            raise InvalidError(f"{shown} has no app {name!r}; there is {', '.join(apps) or 'none'}")
        return apps[name]
    different = {id(app): app for app in apps.values()}
    if len(different) == 1:
        return next(iter(different.values()))
    if "app" in apps:
        return apps["app"]
    what = f"{len(apps)} apps ({', '.join(apps)}); say which one: {shown}::NAME" if apps else "no busfn.App"
    raise InvalidError(f"{shown} has {what}")


def _show(made: Draft, console: Console) -> None:
    for member in made.code.members:
        console.result(member.name)
    size = sum(member.size for member in made.code.members)
    console.note(f"{made.app}: {len(made.functions)} functions, {len(made.code.members)} files, {size / 1024:.1f} KiB")


def _served(new: Deployment, env: str | None) -> bool:
    client = connect(load_settings(env=env))
    try:
        until = time.monotonic() + SERVED_WITHIN
        while time.monotonic() < until:
            if _version_served(client, new.app) >= new.version:
                return True
            time.sleep(0.1)
        return False
    finally:
        client.close()


def _version_served(client: Client, app: str) -> int:
    try:
        found = client.link.portal.run(Operator(client).stats(app))
    except Error:  # nobody serves it yet
        return 0
    return min((one.version for one in found), default=0)
