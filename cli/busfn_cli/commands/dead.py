"""`busfn dead`: inputs that failed for good."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from busfn_cli.console import Console
from busfn_cli.moments import iso, shown

if TYPE_CHECKING:
    from busfn.invoke.deadletters import DeadLetter

App = Annotated[str, typer.Option("--app", help="Only this app's.")]
Function = Annotated[str, typer.Option("--function", help="Only this function's.")]
Call = Annotated[str, typer.Option("--call", help="Only this call's (the last part of its id).")]
Reason = Annotated[str, typer.Option("--reason", help="Only those with this class of error, as `ValueError`.")]
Env = Annotated[str | None, typer.Option("--env", "-e", help="Environment on the bus.")]
Everything = Annotated[bool, typer.Option("--all", help="Really all: needed when no filter is given.")]


def list_(
    app: App = "", function: Function = "", call: Call = "", reason: Reason = "", env: Env = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one array.")] = False,
) -> None:  # fmt: skip
    """List dead letters, the last one first: id, when it was queued and given up, attempts, lost workers, error.

    Example: busfn dead list --app hello --reason ValueError
    """
    from busfn.invoke.deadletters import Filter
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        wanted = Filter(app=app, function=function, call=call, reason=reason)
        letters = client.link.portal.run(client.dead.find(wanted))
        if as_json:
            console.json([_facts(letter) for letter in letters])
            return
        head = ("dead letter", "queued", "ended", "attempts", "lost", "error")
        rows = [
            (one.id, shown(one.queued_at), shown(one.ended_at, one.queued_at), one.attempts, one.crashes, one.error)
            for one in letters
        ]
        console.table(head, rows)


def _facts(letter: DeadLetter) -> dict[str, Any]:
    moments = {"queued_at": iso(letter.queued_at), "ended_at": iso(letter.ended_at)}
    return {"id": letter.id, **asdict(letter), **moments}


def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As `busfn dead list` shows it.")], env: Env = None
) -> None:
    """Show one dead letter with its last traceback.

    Example: busfn dead show hello.square.01a20e7c28fd7210ab41bd40dab2e888.0
    """
    from busfn.invoke.deadletters import Filter
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        found = [one for one in client.link.portal.run(client.dead.find(Filter())) if one.id == letter_id]
        if not found:
            console.error(f"Error: there is no dead letter {letter_id}; `busfn dead list` shows what there is")
            raise typer.Exit(1)
        for name, value in _facts(found[0]).items():
            console.result(f"{name}: {value}")
        console.result(client.link.portal.run(client.dead.traceback(found[0])))


def retry(
    app: App = "", function: Function = "", call: Call = "", reason: Reason = "", everything: Everything = False,
    env: Env = None,
) -> None:  # fmt: skip
    """Queue dead letters again, under their old calls.

    Example: busfn dead retry --app hello --function square
    """
    _each("retry", app, function, call, reason, everything, env)


def drop(
    app: App = "", function: Function = "", call: Call = "", reason: Reason = "", everything: Everything = False,
    env: Env = None,
) -> None:  # fmt: skip
    """Forget dead letters.

    Example: busfn dead drop --call 01a20e7c28fd7210ab41bd40dab2e888
    """
    _each("drop", app, function, call, reason, everything, env)


def _each(what: str, app: str, function: str, call: str, reason: str, everything: bool, env: str | None) -> None:
    from busfn.invoke.deadletters import Filter
    from busfn_cli.remote import connected

    wanted = Filter(app=app, function=function, call=call, reason=reason)
    with Console() as console:
        if wanted == Filter() and not everything:
            console.error(f"Error: say which dead letters to {what}: --app, --function, --call, --reason, or --all")
            raise typer.Exit(2)
        with connected(console, env) as client:
            letters = client.link.portal.run(client.dead.find(wanted))
            for letter in sorted(letters, key=lambda one: (one.ended_at, one.index)):
                client.link.portal.run(client.dead.retry(letter) if what == "retry" else client.dead.drop(letter))
            console.result(f"{len(letters)} {'queued again' if what == 'retry' else 'dropped'}")
