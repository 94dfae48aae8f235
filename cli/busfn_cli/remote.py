"""A client for commands that talk to a bus which runs already."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import typer

from busfn.binding import DEFAULT
from busfn.client import Client, ClientOptions
from busfn.config import BusAddress, load_settings
from busfn.errors import ExecutionError
from busfn_cli.console import Console
from busfn_cli.tracebacks import describe


def shown_address(address: BusAddress, *, own: bool) -> str:
    """Where the bus is, for people; the token of a server of ``own`` is for whoever started us."""
    if own:
        return address.servers[0].replace("://", f"://{address.token}@", 1)
    return ", ".join(address.servers)


@contextmanager
def connected(console: Console, env: str | None, *, signing: bool = False) -> Generator[Client, None, None]:
    """Connect to the configured bus, ``signing`` if a key is needed; errors inside end the command with exit code 1."""
    try:
        settings = load_settings(env=env)
        if settings.address is None:
            raise ExecutionError("no bus is configured: start `busfn up`, or set BUSFN_URL (or NATS_URL)")
        if signing and settings.signing_key is None:
            raise ExecutionError("this needs a key to sign with: set BUSFN_SIGNING_KEY")
        options = ClientOptions(address=settings.address, env=settings.env, key=settings.signing_key)
        client = DEFAULT.client = Client.open(options)
        try:
            yield client
        finally:
            client.close()
    except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):  # typer knows what to do about a `| head`
        raise
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except Exception as error:
        console.error(describe(error))
        raise typer.Exit(1) from None
