"""`busfn worker`."""

from __future__ import annotations

from typing import Annotated

import typer


def worker(
    ref: Annotated[
        str, typer.Argument(metavar="FILE.py[::NAME]", help="A function, or an app with all its functions.")
    ],
    module: Annotated[bool, typer.Option("-m", help="The reference is a module, not a file.")] = False,
    env: Annotated[str | None, typer.Option("--env", "-e", help="Environment on the bus.")] = None,
    processes: Annotated[int, typer.Option("--processes", "-n", min=1, help="Worker processes of each function.")] = 1,
) -> None:
    """Serve functions with a fixed number of workers, until SIGTERM or Ctrl-C: a plain microservice.

    Says `ready` and the bus's address once calls are answered. Without a configured bus (BUSFN_URL or NATS_URL) a NATS
    server is started for the service and stopped with it.
    """
    from busfn_cli.console import Console
    from busfn_cli.serving import ServeRequest, serve

    with Console() as console:
        code = serve(ServeRequest(ref=ref, is_module=module, env=env, processes=processes), console)
    raise typer.Exit(code)
