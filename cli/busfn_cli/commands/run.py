"""`busfn run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from busfn_cli.commands.bare import bare

FOR_THE_FUNCTION = {"allow_extra_args": True, "allow_interspersed_args": False}
"""Everything behind the reference belongs to the function that is run."""


def with_run() -> typer.Typer:
    """The `busfn` command with `run` alone, which starts sooner than with all that it can do."""
    cli = bare()
    cli.command(context_settings=FOR_THE_FUNCTION, no_args_is_help=True)(run)
    return cli


def run(
    context: typer.Context,
    ref: Annotated[
        str, typer.Argument(metavar="FILE.py[::NAME]", help="What to run; with -m, PACKAGE.MODULE[::NAME].")
    ],
    module: Annotated[bool, typer.Option("-m", help="The reference is a module, not a file.")] = False,
    env: Annotated[str | None, typer.Option("--env", "-e", help="Environment on the bus.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Leave when all is handed over; the app goes on until it is done.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show neither progress nor what workers print.")] = False,
    write_result: Annotated[
        Path | None, typer.Option("--write-result", "-w", help="Write the result (text or bytes) to this file.")
    ] = None,
) -> None:
    """Run a local entrypoint or a function, with workers started as needed.

    What stands behind the reference is for the function: `busfn run app.py --help` shows its options. Without a
    configured bus (BUSFN_URL or NATS_URL) a NATS server is started for the run and stopped with it.

    Example: busfn run app.py::square --x 4
    """
    from busfn_cli.console import Console
    from busfn_cli.local import RunRequest
    from busfn_cli.local import run as run_request

    tokens: list[Any] = context.args
    with Console(quiet=quiet) as console:
        request = RunRequest(
            ref=ref,
            is_module=module,
            tokens=tokens,
            env=env,
            write_result=write_result,
            detach=detach,
            host=context.obj,
        )
        code = run_request(request, console)
    raise typer.Exit(code)
