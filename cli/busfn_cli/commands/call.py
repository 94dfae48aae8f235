"""`busfn call`: durable calls by their ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from busfn_cli.console import Console

if TYPE_CHECKING:
    from busfn import InputInfo

Id = Annotated[str, typer.Argument(metavar="ID", help="What `FunctionCall.object_id` says: app.function.0123abcd.")]
Env = Annotated[str | None, typer.Option("--env", "-e", help="Environment on the bus.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


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
        console.value(str(value))


def cancel(
    call_id: Id,
    terminate: Annotated[bool, typer.Option("--terminate", help="Kill the workers that run it.")] = False,
    env: Env = None,
) -> None:
    """Take a call's inputs out of the queue and stop those that run.

    Example: busfn call cancel hello.square.01a20e7c28fd7210ab41bd40dab2e888
    """
    from busfn.invoke.durable import CallRef, Standing
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        ref = CallRef.parse(call_id)
        before = client.link.portal.run(client.durable.stop(ref, terminate=terminate))
        said = {
            Standing.OPEN: f"{ref} is cancelled",
            Standing.CANCELLED: f"{ref} was cancelled before",
            Standing.ENDED: f"{ref} has ended already and stays as it is: `busfn call get {ref}` prints its result",
        }
        console.note(said[before])


def list_(
    app: Annotated[str, typer.Option("--app", help="Only this app's.")] = "",
    function: Annotated[str, typer.Option("--function", help="Only this function's.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many at the most, the newest.")] = 50,
    env: Env = None,
    as_json: AsJson = False,
) -> None:
    """List durable calls, newest first: id, state, inputs that have ended, and those of them that failed.

    Example: busfn call list --app hello --limit 10
    """
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        calls = client.link.portal.run(client.graphs.calls(app, function, limit))
        if as_json:
            console.json([asdict(call) for call in calls])
            return
        for call in calls:
            console.result(f"{call.id}  {call.state}  results {call.results}  failed {call.failed}")


def graph(call_id: Id, env: Env = None, as_json: AsJson = False) -> None:
    """Show a durable call's inputs, and below each the calls that it has spawned.

    Example: busfn call graph hello.square.01a20e7c28fd7210ab41bd40dab2e888
    """
    from busfn import FunctionCall
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env):
        inputs = FunctionCall.from_id(call_id).get_call_graph()
        if as_json:
            console.json([asdict(info) | {"status": info.status.name} for info in inputs])
            return
        for line in tree(inputs):
            console.result(line)


def tree(inputs: Sequence[InputInfo], indent: str = "") -> Iterator[str]:
    """The lines of a call graph."""
    for info in inputs:
        worker = f"  {info.task_id}" if info.task_id else ""
        yield f"{indent}{info.function_name}  {info.input_id}  {info.status.name}{worker}"
        yield from tree(info.children, indent + "  ")
