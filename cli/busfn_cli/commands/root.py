"""The `busfn` command: its options and subcommands."""

from __future__ import annotations

from collections.abc import Callable

import typer

from busfn_cli.commands import app, call, dead, function, worker
from busfn_cli.commands.bare import group
from busfn_cli.commands.deploy import deploy
from busfn_cli.commands.health import health
from busfn_cli.commands.logs import logs
from busfn_cli.commands.run import with_run
from busfn_cli.commands.serve import serve
from busfn_cli.commands.up import up, url


def build() -> typer.Typer:
    """The command with its subcommands."""
    cli = with_run()
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
    made = group()
    for command in commands:
        made.command(command.__name__.rstrip("_"))(command)
    return made
