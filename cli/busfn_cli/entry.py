"""What comes behind the reference on the command line, as arguments for the function that is run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from busfn_cli.args import Interface

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def parse_arguments(function: Callable[..., Any], tokens: Sequence[str], program: str) -> Arguments:
    """Arguments from tokens. Shows help and usage errors itself and raises `SystemExit` then (0 and 2)."""
    if not tokens and _needs_nothing(function):
        return (), {}
    from busfn_cli.args import bind, interface_of  # with typer, which takes as long as the rest of a short run

    interface = interface_of(function)
    if interface.takes_rest:
        return tuple(tokens), {}
    return bind(function, _values(interface, tokens, program))


def _needs_nothing(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    collected = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.default is not inspect.Parameter.empty or p.kind in collected for p in parameters)


def _values(interface: Interface, tokens: Sequence[str], program: str) -> dict[str, Any]:
    """typer's values; it ends the process on its own terms, and only success may go on."""
    parsed: list[dict[str, Any]] = []

    def keep(**values: Any) -> None:
        parsed.append(values)

    keep.__signature__ = interface.signature  # type: ignore[attr-defined]
    keep.__annotations__ = {name: p.annotation for name, p in interface.signature.parameters.items()}
    import typer

    cli = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    cli.command(help=interface.help or None)(keep)
    try:
        cli(args=list(tokens), prog_name=program, standalone_mode=True)
    except SystemExit:
        if not parsed:
            raise
    return {interface.names[name]: value for name, value in parsed[0].items()}
