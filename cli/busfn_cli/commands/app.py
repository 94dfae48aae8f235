"""`busfn app`: deployed apps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from busfn_cli.console import Console
from busfn_cli.options import AppName, AsJson, Env

if TYPE_CHECKING:
    from busfn.deployment import AppState, Deployment
    from busfn.operating import Operator
    from busfn.status import FunctionStatus


def list_(env: Env = None, as_json: AsJson = False) -> None:
    """List apps: name, state, version, since when, tag. `run`, `serve` and `worker` are not deployed, and say where.

    Example: busfn app list --json
    """
    from busfn.operating import Operator
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        rows = client.link.portal.run(_apps(Operator(client)))
        if as_json:
            console.json(rows)
        else:
            console.table(
                ("name", "state", "version", "deployed", "tag", "where"), [list(row.values()) for row in rows]
            )


def history(name: AppName, env: Env = None, as_json: AsJson = False) -> None:
    """Show the versions of an app, newest first: version, when, by whom, git commit (`*`: changed since), tag.

    Example: busfn app history hello
    """
    from busfn.operating import Operator
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        registry = Operator(client).registry
        state = client.link.portal.run(registry.state(name))
        versions = client.link.portal.run(registry.history(name))
        if state is None:
            _unknown(console, name)
        rows = [_version(one, state) for one in reversed(versions)]
        if as_json:
            console.json(rows)
        else:
            shown = [[f"v{row['version']}", *list(row.values())[1:]] for row in rows]
            console.table(("version", "", "deployed", "by", "commit", "tag", ""), shown)


def rollback(
    name: AppName,
    version: Annotated[str, typer.Argument(metavar="[vN]", help="By default the version before the current.")] = "",
    env: Env = None,
) -> None:
    """Serve an earlier version again, as a new one; what runs finishes on its version.

    Example: busfn app rollback hello v2
    """
    from busfn.deploying import roll_back
    from busfn_cli.remote import connected

    digits = version.removeprefix("v")
    if version and not digits.isdigit():
        raise typer.BadParameter(f"{version!r} is no version: write it as v2", param_hint="vN")
    with Console() as console, connected(console, env, signing=True) as client:
        new = client.link.portal.run(roll_back(client, name, int(digits) if digits else None))
        console.result(f"{name} is at version {new.version}, which is version {new.rollback_of} again")


def stop(
    name: AppName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    env: Env = None,
) -> None:
    """Serve an app no more: its workers finish what they run; what is queued stays queued until it is deployed again.

    Example: busfn app stop hello --yes
    """
    from busfn.operating import Operator
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        if client.link.portal.run(Operator(client).registry.state(name)) is None:
            _unknown(console, name)
        if not yes:
            typer.confirm(f"Stop the app {name!r}?", abort=True)
        stopped = client.link.portal.run(Operator(client).registry.stop(name))
        console.result(f"{name} is stopped" if stopped else f"{name} was stopped already")


def stats(name: AppName, env: Env = None, as_json: AsJson = False) -> None:
    """Show how busy an app's functions are, and why they have so many workers.

    Example: busfn app stats hello
    """
    from busfn.operating import Operator
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        show_stats(client.link.portal.run(Operator(client).stats(name)), console, as_json)


def describe(name: AppName, env: Env = None, as_json: AsJson = False) -> None:
    """Show all about an app: version, code, functions with their options, workers, and why workers do not start.

    Example: busfn app describe hello
    """
    from busfn.operating import Operator
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        facts = client.link.portal.run(_facts(Operator(client), name))
        if facts is None:
            _unknown(console, name)
        elif as_json:
            console.json(facts)
        else:
            for line in _lines(facts):
                console.result(line)


def show_stats(found: Iterable[FunctionStatus], console: Console, as_json: bool) -> None:
    """Functions as a table, or as JSON."""
    if as_json:
        console.json([one.to_dict() for one in found])
        return
    head = ("function", "version", "backlog", "ready", "starting", "draining", "running", "why")
    rows = [
        (f"{one.app}.{one.function}", one.version, one.backlog, one.ready, one.starting, one.draining, one.running,
         _first_line(one.failure) if one.failure else one.reason)
        for one in found
    ]  # fmt: skip
    console.table(head, rows)


async def _apps(operator: Operator) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, state in (await operator.registry.states()).items():
        deployment = await operator.registry.deployment(name, state.version)
        rows.append(
            {
                "name": name, "state": _state(state), "version": state.version,
                "deployed": _moment(deployment.deployed_at), "tag": deployment.tag, "where": "",
            }
        )  # fmt: skip
    for token, claim in (await operator.claims.all()).items():
        rows.append(
            {
                "name": token, "state": claim.use, "version": 0, "deployed": _moment(claim.since), "tag": "",
                "where": claim.where,
            }
        )  # fmt: skip
    return rows


async def _facts(operator: Operator, name: str) -> dict[str, Any] | None:
    from busfn.errors import Error

    state = await operator.registry.state(name)
    if state is None:
        return None
    deployment = await operator.registry.deployment(name, state.version)
    overrides = await operator.registry.overrides()
    try:
        statuses = {one.function: one for one in await operator.stats(name)}
    except Error:  # it is stopped, or no controller runs: the rest is known all the same
        statuses = {}
    functions = [_function(spec.to_dict(), statuses.get(spec.name)) for spec in deployment.functions]
    for function in functions:
        override = overrides.get((name, function["name"]))
        if override is not None and override.version == state.version:
            function["overrides"] = dict(override.settings)
    version = _version(deployment, state)
    bundle = {"bundle": deployment.bundle.sha256, "size": deployment.bundle.size}
    return {"name": name, "state": _state(state), **version, **bundle, "functions": functions}


def _function(spec: Mapping[str, Any], status: FunctionStatus | None) -> dict[str, Any]:
    kept = {name: value for name, value in spec.items() if name not in ("app", "source", "version", "env")}
    return {**kept, "env": sorted(spec["env"]), "status": asdict(status) if status else None}


def _lines(facts: Mapping[str, Any]) -> Iterable[str]:
    commit, tag = facts["commit"] or "-", facts["tag"] or "-"
    yield f"{facts['name']}  {facts['state']}  version {facts['version']}"
    yield f"deployed {facts['deployed']} by {facts['by'] or '-'}  commit {commit}  tag {tag}"
    yield f"code {facts['bundle'][:12]}  {facts['size']} bytes"
    for function in facts["functions"]:
        yield f"  {function['name']}"
        scaling = {**function["scaling"], **function.get("overrides", {})}
        given = ", ".join(f"{key}={value}" for key, value in scaling.items() if value is not None)
        yield f"    timeout {function['timeout']:g} s, {given}"
        status = function["status"]
        if status is None:
            yield "    not served"
            continue
        yield (
            f"    backlog {status['backlog']}, workers: {status['ready']} ready, {status['starting']} starting,"
            f" {status['draining']} draining, {status['running']} running"
        )
        if status["reason"]:
            yield f"    {status['reason']}"
        if status["failure"]:
            yield "    its workers fail to start:"
            yield from (f"      {line}" for line in status["failure"].rstrip().splitlines())


def _version(deployment: Deployment, state: AppState | None) -> dict[str, Any]:
    current = state is not None and state.version == deployment.version
    back = f"rollback of v{deployment.rollback_of}" if deployment.rollback_of else ""
    return {
        "version": deployment.version, "current": "current" if current else "",
        "deployed": _moment(deployment.deployed_at), "by": deployment.by, "commit": deployment.commit,
        "tag": deployment.tag, "remark": back,
    }  # fmt: skip


def _unknown(console: Console, name: str) -> None:
    console.error(f"Error: there is no app {name!r}; `busfn app list` shows what there is")
    raise typer.Exit(1)


def _state(state: AppState) -> str:
    return "stopped" if state.stopped else "deployed"


def _moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def _first_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else ""
