"""The `busfn` command: its options and subcommands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from busfn_cli.commands import app, call, dead, function, worker
from busfn_cli.commands.deploy import deploy
from busfn_cli.commands.health import health
from busfn_cli.commands.logs import logs
from busfn_cli.commands.run import run
from busfn_cli.commands.serve import serve
from busfn_cli.commands.up import up, url

FOR_THE_FUNCTION = {"allow_extra_args": True, "allow_interspersed_args": False}
"""Everything behind the reference belongs to the function that is run."""


def _version(wanted: bool) -> None:
    if wanted:
        from busfn import __version__

        typer.echo(f"busfn {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Python functions as NATS services."""


def build() -> typer.Typer:
    """The command with its subcommands."""
    cli = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
    cli.callback()(_root)
    cli.command(context_settings=FOR_THE_FUNCTION, no_args_is_help=True)(run)
    cli.command(no_args_is_help=True)(deploy)
    cli.command()(up)
    cli.command()(url)
    cli.command()(health)
    cli.command(no_args_is_help=True)(serve)
    for name, (help_, commands) in GROUPS.items():
        cli.add_typer(_group(*commands), name=name, help=help_)
    return cli


GROUPS: dict[str, tuple[str, tuple[Callable[..., None], ...]]] = {
    "app": ("Deployed apps.", (app.list_, app.history, app.rollback, app.stop, app.stats, app.describe, logs)),
    "function": ("Functions of deployed apps.", (function.list_, function.stats, function.scale)),
    "call": ("Durable calls, by their ids.", (call.get, call.cancel, call.list_, call.graph)),
    "worker": ("A plain microservice; workers of deployed apps.", (worker.run, worker.list_, worker.stop)),
    "dead": ("Inputs that failed for good.", (dead.list_, dead.show, dead.retry, dead.drop)),
}
"""Groups of commands, with their help."""


def _group(*commands: Callable[..., None]) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
    for command in commands:
        group.command(command.__name__.rstrip("_"))(command)
    return group
