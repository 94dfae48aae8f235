"""The `busfn` command without its subcommands."""

from __future__ import annotations

from typing import Annotated

import typer


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


def group() -> typer.Typer:
    """A command to be given subcommands."""
    return typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


def bare() -> typer.Typer:
    """The command with its own options."""
    cli = group()
    cli.callback()(_root)
    return cli
