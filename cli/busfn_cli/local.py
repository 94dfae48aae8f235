"""`busfn run`: import, choose, start what is needed, run, report, end."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from busfn.app import LocalEntrypoint
from busfn.config import load_settings
from busfn.errors import InvalidError
from busfn.hostprocess import launch_host
from busfn.refs import load, parse_ref, resolve
from busfn.stack import Stack
from busfn_cli.console import Console, nobody_reads
from busfn_cli.entry import Arguments, parse_arguments
from busfn_cli.target import AnyFunction, Target, choose
from busfn_cli.tracebacks import describe

if TYPE_CHECKING:
    from busfn.run import RunningApp

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What the command line asks for."""

    ref: str
    is_module: bool
    tokens: Sequence[str]
    """What stands behind the reference."""
    env: str | None = None
    write_result: Path | None = None
    detach: bool = False
    """Leave the app running until its durable work is done."""
    host: subprocess.Popen[bytes] | None = None
    """Started already, to save time."""


def run(request: RunRequest, console: Console) -> int:
    """Run it and report; returns the exit code."""
    try:
        return _run(request, console)
    except KeyboardInterrupt:
        console.note("Interrupted.")
        return EXIT_INTERRUPTED
    except SystemExit as exit_:
        return _exit_code(exit_, console)
    except BaseException as error:
        if isinstance(error, BrokenPipeError) and nobody_reads():
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is flushed at the end
        else:
            console.error(describe(error))
        return EXIT_FAILURE


def _run(request: RunRequest, console: Console) -> int:
    source = resolve(parse_ref(request.ref, module=request.is_module), os.getcwd())
    if request.env is not None:
        os.environ["BUSFN_ENV"] = request.env
    # Started first: server and host get ready while the user's code is imported here.
    stack = None if "--help" in request.tokens else _stack(request)
    try:
        shown, _, object_path = request.ref.partition("::")
        target = choose(vars(load(source)), object_path, f"-m {shown}" if request.is_module else shown)
        arguments = parse_arguments(_raw(target), request.tokens, f"busfn run {request.ref}")
        from busfn.run import RunningApp  # which takes as long as a server does to start

        running = RunningApp(
            target.app,
            env=request.env,
            on_log=console.log,
            on_state=console.state,
            on_note=console.warn,
            watch=console.progress,
            stack=stack,
        )
    except BaseException:
        if stack is not None:
            stack.stop()
        raise
    with running:
        if running.token != target.app.name:
            console.note(
                f"{target.app.name} is served by others on this bus: this run is an app of its own, {running.token}"
            )
        if request.detach:
            _hand_over(running, target, arguments, console)
        else:
            _call(target, arguments, request, console)
    return 0


def _stack(request: RunRequest) -> Stack:
    settings = load_settings(env=request.env)
    if request.detach and settings.address is None:
        raise InvalidError(
            "`--detach` needs a bus that goes on when this command has ended:"
            " start one with `busfn up`, or set BUSFN_URL"
        )
    if request.detach:
        return Stack(settings, launch_host(errors=subprocess.DEVNULL))
    return Stack(settings, request.host)


def _hand_over(running: RunningApp, target: Target, arguments: Arguments, console: Console) -> None:
    """Run the entrypoint, or spawn the function and print the call's id; then leave."""
    args, kwargs = arguments
    if isinstance(target.what, LocalEntrypoint):
        value: Any = target.what(*args, **kwargs)
        if inspect.iscoroutine(value):
            asyncio.run(value)
    else:
        console.result(target.what.spawn(*args, **kwargs).object_id)
    running.detach()
    console.note(f"{running.token} goes on until its durable work is done")


def _raw(target: Target) -> Any:
    return target.what.raw if isinstance(target.what, LocalEntrypoint) else target.what.get_raw_f()


def _call(target: Target, arguments: Arguments, request: RunRequest, console: Console) -> None:
    args, kwargs = arguments
    if isinstance(target.what, LocalEntrypoint):
        value: Any = target.what(*args, **kwargs)
        result = asyncio.run(value) if inspect.iscoroutine(value) else value
        if request.write_result is not None:
            _write(request.write_result, result)
    elif target.what.is_generator:
        _print_items(target.what, arguments, request, console)
    else:
        _report(target.what.remote(*args, **kwargs), request, console)


def _print_items(function: AnyFunction, arguments: Arguments, request: RunRequest, console: Console) -> None:
    if request.write_result is not None:
        raise InvalidError("`--write-result` needs a function with one result, and this one is a generator")
    args, kwargs = arguments
    for item in function.remote_gen(*args, **kwargs):
        console.value(str(item), own=True)


def _report(value: Any, request: RunRequest, console: Console) -> None:
    if request.write_result is not None:
        _write(request.write_result, value)
    elif value is not None:
        console.value(str(value), own=True)


def _write(path: Path, value: object) -> None:
    if not isinstance(value, str | bytes):
        raise InvalidError(
            f"Function must return str or bytes when using `--write-result`; got {type(value).__name__}."
        )
    try:
        path.write_bytes(value.encode() if isinstance(value, str) else value)
    except OSError as error:
        raise InvalidError(f"the result cannot be written to {path}: {error.strerror}") from None


def _exit_code(exit_: SystemExit, console: Console) -> int:
    """As the interpreter does it: None is success, a number is itself, anything else is printed."""
    if exit_.code is None or isinstance(exit_.code, int):
        return exit_.code or 0
    console.error(str(exit_.code))
    return EXIT_FAILURE
