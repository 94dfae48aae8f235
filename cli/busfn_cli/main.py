"""Entry point of the console script. Starts what takes longest first, and imports the rest meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from busfn.hostprocess import launch_host

EXIT_INTERRUPTED = 130
WORKER_COMMANDS = ("run", "list", "stop", "--help")


def main() -> None:
    """The `busfn` command."""
    try:
        sys.argv[1:] = with_default(sys.argv[1:])
        host = _host_for(sys.argv[1:])
        _command(sys.argv[1:])(prog_name="busfn", obj=host)
    except KeyboardInterrupt:  # so early that nothing else has caught it
        sys.exit(EXIT_INTERRUPTED)


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
