"""`busfn serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from busfn_cli.options import Env


def serve(
    ref: Annotated[str, typer.Argument(metavar="FILE.py[::APP]", help="With -m, PACKAGE.MODULE[::APP].")],
    module: Annotated[bool, typer.Option("-m", help="The reference is a module, not a file.")] = False,
    env: Env = None,
) -> None:
    """Serve an app while you work on it, until Ctrl-C: when a file changes, new workers replace the old ones.

    What runs finishes on the code it was started with. Code that cannot be imported is reported, and the last one that
    could be is served on. Without a configured bus a NATS server is started and stopped with it.

    Example: busfn serve app.py
    """
    from busfn_cli.console import Console
    from busfn_cli.reloading import ServeRequest
    from busfn_cli.reloading import serve as serve_request

    with Console() as console:
        code = serve_request(ServeRequest(ref=ref, is_module=module, env=env), console)
    raise typer.Exit(code)
