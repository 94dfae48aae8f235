"""The `busfn` command: its options and subcommands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from busfn_cli.commands import call, dead
from busfn_cli.commands.run import run
from busfn_cli.commands.worker import worker

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
    cli = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    cli.callback()(_root)
    cli.command(context_settings=FOR_THE_FUNCTION, no_args_is_help=True)(run)
    cli.command(no_args_is_help=True)(worker)
    cli.add_typer(
        _group(call.get, call.cancel, call.list_, call.graph), name="call", help="Durable calls, by their ids."
    )
    cli.add_typer(
        _group(dead.list_, dead.show, dead.retry, dead.drop), name="dead", help="Inputs that failed for good."
    )
    return cli


def _group(*commands: Callable[..., None]) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
    for command in commands:
        group.command(command.__name__.rstrip("_"))(command)
    return group
