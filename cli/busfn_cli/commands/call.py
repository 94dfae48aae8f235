"""`busfn call`: durable calls by their ids."""

from __future__ import annotations

from typing import Annotated

import typer

from busfn_cli.console import Console

Id = Annotated[str, typer.Argument(metavar="ID", help="What `FunctionCall.object_id` says: app.function.0123abcd.")]
Env = Annotated[str | None, typer.Option("--env", "-e", help="Environment on the bus.")]


def get(
    call_id: Id,
    index: Annotated[int, typer.Option(min=0, help="Which input's result, for a call with many.")] = 0,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait; without it, as long as it takes.")
    ] = None,
    env: Env = None,
) -> None:
    """Wait for a result and print it.

    Example: busfn call get hello.square.01a20e7c28fd7210ab41bd40dab2e888
    """
    from busfn import FunctionCall
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env):
        try:
            value = FunctionCall.from_id(call_id).get(timeout, index=index)
        except TimeoutError:
            console.error(f"Error: there is no result after {timeout:g} s; the call goes on")
            raise typer.Exit(1) from None
        console.result(str(value))


def cancel(
    call_id: Id,
    terminate: Annotated[bool, typer.Option("--terminate", help="Kill the workers that run it.")] = False,
    env: Env = None,
) -> None:
    """Take a call's inputs out of the queue and stop those that run.

    Example: busfn call cancel hello.square.01a20e7c28fd7210ab41bd40dab2e888
    """
    from busfn import FunctionCall
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env):
        FunctionCall.from_id(call_id).cancel(terminate_containers=terminate)
