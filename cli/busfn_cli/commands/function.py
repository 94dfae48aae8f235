"""`busfn function`: functions of deployed or running apps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from busfn_cli.commands.app import show_stats
from busfn_cli.console import Console
from busfn_cli.options import AsJson, Env

if TYPE_CHECKING:
    from busfn.operating import Operator

Ref = Annotated[str, typer.Argument(metavar="APP/FUNCTION", help="As `hello/square`.")]


def list_(
    app: Annotated[str, typer.Option("--app", help="Only this app's.")] = "", env: Env = None, as_json: AsJson = False
) -> None:
    """List the functions of deployed apps: name, version, timeout, workers at least and at most.

    Example: busfn function list --app hello
    """
    from busfn.operating import Operator
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        rows = client.link.portal.run(_functions(Operator(client), app))
        if app and not rows:
            console.error(f"Error: there is no deployed app {app!r}; `busfn app list` shows what there is")
            raise typer.Exit(1)
        if as_json:
            console.json(rows)
        else:
            head = ("function", "version", "timeout", "min", "max")
            console.table(head, [["-" if value is None else value for value in row.values()] for row in rows])


def stats(ref: Ref, env: Env = None, as_json: AsJson = False) -> None:
    """Show how busy a function is, and why it has so many workers.

    Example: busfn function stats hello/square
    """
    from busfn.operating import Operator
    from busfn.protocol.names import Target
    from busfn_cli.remote import connected

    app, function = parse(ref)
    with Console() as console, connected(console, env) as client:
        show_stats([client.link.portal.run(Operator(client).function(Target(app, function)))], console, as_json)


def scale(
    ref: Ref,
    min_containers: Annotated[int | None, typer.Option("--min", help="Workers kept even when idle.")] = None,
    max_containers: Annotated[int | None, typer.Option("--max", help="Workers at the most.")] = None,
    buffer_containers: Annotated[int | None, typer.Option("--buffer", help="Idle workers beyond the need.")] = None,
    scaledown_window: Annotated[
        float | None, typer.Option("--window", help="Seconds a worker may idle before it is stopped.")
    ] = None,
    env: Env = None,
) -> None:
    """Scale a function differently until its next deploy; what is left out stays.

    Example: busfn function scale hello/square --min 2 --max 8
    """
    from busfn.operating import Operator
    from busfn.protocol.names import Target
    from busfn_cli.remote import connected

    app, function = parse(ref)
    change: dict[str, Any] = {
        "min_containers": min_containers, "max_containers": max_containers, "buffer_containers": buffer_containers,
        "scaledown_window": scaledown_window,
    }  # fmt: skip
    given = {name: value for name, value in change.items() if value is not None}
    if not given:
        raise typer.BadParameter("say what to change: --min, --max, --buffer or --window")
    with Console() as console, connected(console, env) as client:
        found = client.link.portal.run(Operator(client).scale(Target(app, function), given))
        console.result(", ".join(f"{name}={value}" for name, value in sorted(found.items())))


def parse(ref: str) -> tuple[str, str]:
    """App and function; a usage error for anything else."""
    app, slash, function = ref.partition("/")
    if not slash or not app or not function or "/" in function:
        raise typer.BadParameter(f"{ref!r} is no function: write it as APP/FUNCTION", param_hint="APP/FUNCTION")
    return app, function


async def _functions(operator: Operator, app: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    overrides = await operator.registry.overrides()
    for name, state in (await operator.registry.states()).items():
        if state.stopped or app not in ("", name):
            continue
        for spec in (await operator.registry.deployment(name, state.version)).functions:
            override = overrides.get((name, spec.name))
            holds = override is not None and override.version == state.version
            scaling = replace(spec.scaling, **override.settings) if override and holds else spec.scaling
            rows.append(
                {
                    "function": f"{name}/{spec.name}", "version": state.version, "timeout": spec.timeout,
                    "min_containers": scaling.min_containers, "max_containers": scaling.max_containers,
                }
            )  # fmt: skip
    return rows
