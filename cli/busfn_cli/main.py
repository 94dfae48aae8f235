"""Entry point of the console script. Starts what takes longest first, and imports the rest meanwhile."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from busfn.hostprocess import launch_host

EXIT_INTERRUPTED = 130
WORKER_COMMANDS = ("run", "list", "stop", "--help")


def main() -> None:
    """The `busfn` command."""
    try:
        arguments = sys.argv[1:] = with_default(sys.argv[1:])
        if arguments[:1] == ["run"]:
            end_in_order()
        host = _host_for(arguments)
        if is_plain_run(arguments):
            _run_plainly(arguments[1], arguments[2:], host)
        else:
            _command(arguments)(prog_name="busfn", obj=host)
    except KeyboardInterrupt:  # so early that nothing else has caught it
        sys.exit(EXIT_INTERRUPTED)
    finally:
        gc.freeze()  # what is left needs no collection, which takes 50 ms at the interpreter's end


def end_in_order() -> None:
    """Have SIGTERM, and the end of the terminal, end a run as Ctrl-C does; a second one ends it at once."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # else `nohup` was meant
            signal.signal(number, _end)


def _end(number: int, _frame: object) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    sys.exit(128 + number)


def is_plain_run(arguments: Sequence[str]) -> bool:
    """`busfn run REF ...`, with no option of the command: all behind the reference is for the function."""
    return arguments[:1] == ["run"] and len(arguments) > 1 and not arguments[1].startswith("-")


def _run_plainly(ref: str, tokens: Sequence[str], host: subprocess.Popen[bytes] | None) -> NoReturn:
    """There is nothing to parse: without typer and what it imports a short run takes two thirds of the time."""
    from busfn_cli.console import Console
    from busfn_cli.local import RunRequest, run

    with Console() as console:
        sys.exit(run(RunRequest(ref=ref, is_module=False, tokens=tokens, host=host), console))


def _command(arguments: Sequence[str]) -> Callable[..., Any]:
    """The command, loaded as far as it is needed."""
    if arguments[:1] == ["run"]:
        from busfn_cli.commands.run import with_run

        return with_run()
    from busfn_cli.commands.root import build

    return build()


def with_default(arguments: Sequence[str]) -> list[str]:
    """`busfn worker app.py` means `busfn worker run app.py`."""
    given = list(arguments)
    if given[:1] == ["worker"] and len(given) > 1 and given[1] not in WORKER_COMMANDS:
        given.insert(1, "run")
    return given


def _host_for(arguments: Sequence[str]) -> subprocess.Popen[bytes] | None:
    """A run needs a host process; if it turns out that there is nothing to run, it ends with us."""
    other = {"--help", "-d", "--detach"}  # a detached run has a host that does not keep our terminal
    wanted = arguments[:1] == ["run"] and len(arguments) > 1 and other.isdisjoint(arguments)
    return launch_host() if wanted else None
