"""`busfn health`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from busfn_cli.console import Console
from busfn_cli.options import AsJson, Env


def health(env: Env = None, as_json: AsJson = False) -> None:
    """Check the bus, the controller, hosts and workers; exit code 1 if anything is wrong.

    A worker that is alive but does not hear the bus any more is wrong, too.

    Example: busfn health
    """
    from busfn_cli.health import look
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        checks = client.link.portal.run(look(client))
        if as_json:
            console.json([asdict(check) for check in checks])
        else:
            console.table(("what", "state", ""), [(one.what, "ok" if one.ok else "WRONG", one.text) for one in checks])
        if not all(check.ok for check in checks):
            raise typer.Exit(1)
