"""`busfn up` and `busfn url`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Env = Annotated[str | None, typer.Option("--env", "-e", help="Environment on the bus.")]


def up(
    env: Env = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Of the NATS server; 0: the last one.")] = 0,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder for the server's data. [default: ~/.local/share/busfn]")
    ] = None,
) -> None:
    """Run one machine's stack until SIGTERM or Ctrl-C: a NATS server, workers for deployed apps, their controller.

    Says `ready` and the bus's address once calls are answered. Clients of the same user find it without configuration.
    With a configured bus (BUSFN_URL or NATS_URL) it uses that server and starts none.

    Example: busfn up
    """
    from busfn_cli.console import Console
    from busfn_cli.upkeep import keep_up

    with Console() as console:
        code = keep_up(console, env=env, port=port, data=data)
    raise typer.Exit(code)


def url() -> None:
    """Print the bus's URL with its token, for other NATS clients.

    Example: nats -s "$(busfn url)" req busfn.main.fn.hello.square 4
    """
    from busfn_cli.console import Console
    from busfn_cli.upkeep import bus_url

    with Console() as console:
        code = bus_url(console)
    raise typer.Exit(code)
