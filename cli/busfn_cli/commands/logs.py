"""`busfn app logs`: what an app's bodies print."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from busfn_cli.console import Console
from busfn_cli.moments import parse_moment
from busfn_cli.options import AppName, AsJson, Env

if TYPE_CHECKING:
    from busfn.client import Client
    from busfn.logs import LogFilter, LogLine

DEFAULT_TAIL = 100
"""Lines that are shown when nothing says how many."""


def logs(
    name: AppName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is printed from now on.")] = False,
    since: Annotated[str, typer.Option(help="From then on: 2h (ago; s, m, h, d, w), or ISO 8601.")] = "",
    until: Annotated[str, typer.Option(help="Up to then, written as for --since.")] = "",
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=0, help="So many lines, the last. By default 100, or all --since.")
    ] = None,
    function: Annotated[str, typer.Option("--function", help="Only this function's.")] = "",
    call: Annotated[str, typer.Option("--call", help="Only this call's: its id, or the last part of it.")] = "",
    as_json: AsJson = False,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Begin each line with its time.")] = False,
    env: Env = None,
) -> None:
    """Show what an app's bodies have printed, the last 100 lines by default.

    Example: busfn app logs hello -f --function square
    """
    from busfn_cli.remote import connected

    if follow and until:
        raise typer.BadParameter("what is printed from now on has no end: leave one of -f and --until out")
    wanted = _filter(name, function, call, since, until)
    count = DEFAULT_TAIL if tail is None and not since else tail
    with Console() as console, connected(console, env) as client:
        shown = _printer(console, as_json, timestamps)
        some = client.link.portal.run(_show(client, wanted, count, follow, shown))
        if not some and not client.link.portal.run(_is_known(client, name)):
            console.error(f"Error: there is no app {name!r}, and nothing that it has printed; see `busfn app list`")
            raise typer.Exit(1)


async def _show(
    client: Client, wanted: LogFilter, count: int | None, follow: bool, show: Callable[[LogLine], None]
) -> bool:
    """Print the lines; tells whether there were any."""
    from busfn.logs import LogReader

    reader = LogReader(client.link.bus, client.link.subjects)
    some = False
    if count is not None and not follow:
        for line in await reader.tail(wanted, count):
            some = True
            show(line)
        return some
    async for line in reader.follow(wanted, count) if follow else reader.read(wanted):
        some = True
        show(line)
    return some


async def _is_known(client: Client, name: str) -> bool:
    from busfn.registry import Registry

    return await Registry(client.link.bus, client.link.subjects).state(name) is not None


def _filter(name: str, function: str, call: str, since: str, until: str) -> LogFilter:
    from busfn.errors import InvalidError
    from busfn.logs import LogFilter
    from busfn.protocol.names import validate_function_name, validate_token

    now = time.time()
    try:
        app = validate_token(name)
        function, call = _call(app, function, call)
        if function:
            validate_function_name(function)
        return LogFilter(
            app=app,
            function=function,
            call=call,
            since=parse_moment(since, now) if since else None,
            until=parse_moment(until, now) if until else None,
        )
    except (InvalidError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None


def _call(app: str, function: str, call: str) -> tuple[str, str]:
    """The function and the last part of a call's id, which may be given as ``app.function.id``."""
    where, _, last = call.rpartition(".")
    if call and not (last.isascii() and last.isalnum()):
        raise ValueError(f"{call!r} is no id of a call: write app.function.0123abcd, or its last part")
    if not where:
        return function, call
    its_app, _, its_function = where.partition(".")
    if its_app != app or not its_function or function not in ("", its_function):
        asked = f"{app}.{function}" if function else f"app {app}"
        raise ValueError(f"the call {call} is none of {asked}")
    return its_function, last


def _printer(console: Console, as_json: bool, timestamps: bool) -> Callable[[LogLine], None]:
    def show(line: LogLine) -> None:
        moment = dt.datetime.fromtimestamp(line.time).astimezone().isoformat(timespec="milliseconds")
        if as_json:
            console.json({**asdict(line), "time": moment})
        else:
            console.result(
                f"{moment} {line.function} | {line.text}" if timestamps else f"{line.function} | {line.text}"
            )

    return show
