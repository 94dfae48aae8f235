"""`busfn call`: durable calls by their ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from busfn_cli.console import Console
from busfn_cli.moments import duration, iso, shown

if TYPE_CHECKING:
    from busfn import InputInfo
    from busfn.invoke.graph import CallSummary

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
    as_json: AsJson = False,
) -> None:
    """Wait for a result and print it; with --json, when and where it ran, too, and its error instead of a traceback.

    Example: busfn call get hello.square.01a20e7c28fd7210ab41bd40dab2e888
    """
    from busfn import FunctionCall
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        call = FunctionCall.from_id(call_id)
        value, error = None, None
        try:
            value = call.get(timeout, index=index)
        except TimeoutError:
            console.error(f"Error: there is no result after {timeout:g} s; the call goes on")
            raise typer.Exit(1) from None
        except Exception as failure:
            if not as_json:
                raise
            error = f"{type(failure).__name__}: {failure}"
        if not as_json:
            console.value(str(value))
            return
        info = client.link.portal.run(client.graphs.input(call.ref.target, call.ref.call, index))
        console.json({**_input(info), "result": None if error else str(value), "error": error})
        if error:
            raise typer.Exit(1)


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
    """List durable calls, newest first: id, state, inputs that have ended and that failed, times, attempts.

    Of a call with many inputs, some are looked at: it is started when the first was, and ended when the last did.

    Example: busfn call list --app hello --limit 10
    """
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        calls = client.link.portal.run(client.graphs.calls(app, function, limit))
        if as_json:
            console.json([_timed(asdict(call)) for call in calls])
            return
        head = ("call", "state", "ended", "failed", "queued", "started", "ended", "took", "attempts")
        console.table(head, [_row(call) for call in calls])


def _row(call: CallSummary) -> tuple[object, ...]:
    times = _times(call.queued_at, call.started_at, call.ended_at)
    return call.id, call.state, f"{call.results}/{call.inputs}", call.failed, *times, call.attempts or "-"


def _times(queued: float, started: float, ended: float) -> tuple[str, ...]:
    """When it was queued, started and ended, and how long it took, for people."""
    took = duration(ended - started) if started else "-"
    return shown(queued), shown(started, queued), shown(ended, queued), took


def _timed(data: dict[str, Any]) -> dict[str, Any]:
    """Moments for programs."""
    moments: dict[str, Any] = {
        name: iso(data[name]) for name in ("queued_at", "started_at", "ended_at") if name in data
    }
    known = data.get("started_at") and data.get("ended_at")
    return {**data, **moments, "seconds": round(data["ended_at"] - data["started_at"], 6) if known else None}


def _input(info: InputInfo) -> dict[str, Any]:
    children = [_input(child) for child in info.children]
    return {**_timed(asdict(info)), "status": info.status.name, "children": children}


def graph(call_id: Id, env: Env = None, as_json: AsJson = False) -> None:
    """Show a durable call's inputs, and below each the calls that it has spawned.

    Example: busfn call graph hello.square.01a20e7c28fd7210ab41bd40dab2e888
    """
    from busfn import FunctionCall
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env):
        inputs = FunctionCall.from_id(call_id).get_call_graph()
        if as_json:
            console.json([_input(info) for info in inputs])
            return
        for line in tree(inputs):
            console.result(line)


def tree(inputs: Sequence[InputInfo], indent: str = "") -> Iterator[str]:
    """The lines of a call graph."""
    for info in inputs:
        ran = f"  {info.task_id}  {'  '.join(_ran(info))}" if info.task_id else f"  {shown(info.queued_at)}"
        yield f"{indent}{info.function_name}  {info.input_id}  {info.status.name}{ran}"
        yield from tree(info.children, indent + "  ")


def _ran(info: InputInfo) -> tuple[str, ...]:
    return *_times(info.queued_at, info.started_at, info.ended_at), f"attempts {info.attempts}"
