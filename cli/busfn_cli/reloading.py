"""`busfn serve`: a stack for one app, told of every new state of its code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import FrameType

from busfn.client import Client, ClientOptions
from busfn.config import Settings, load_settings
from busfn.errors import Error, InvalidError
from busfn.live_logs import LiveLogs
from busfn.run import dropped
from busfn.spec import FunctionSpec
from busfn.stack import Stack
from busfn_cli.changes import changes
from busfn_cli.console import Console
from busfn_cli.remote import shown_address
from busfn_cli.tracebacks import describe

EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeRequest:
    """What the command line asks for."""

    ref: str
    is_module: bool
    env: str | None


@dataclass(frozen=True, slots=True)
class Code:
    """An app as it is in its files."""

    directory: str
    functions: Sequence[FunctionSpec]
    read_at: float
    """Unix seconds; what was written later is not in it."""


def serve(request: ServeRequest, console: Console) -> int:
    """Serve until SIGINT, SIGTERM or the end of the terminal; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # else `nohup` was meant
            signal.signal(number, _interrupt)
    # To Python a compiled file is current when size and second are: what is saved twice in one second would stay old.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        code = inspect_code(request, console)
        if code is None:
            return 1
        settings = load_settings(env=request.env)
        stack = Stack(settings)
        try:
            return _Session(request, console, stack, settings).run(code)
        finally:
            stack.stop()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Error as error:
        console.error(describe(error))
        return 1


def inspect_code(request: ServeRequest, console: Console) -> Code | None:
    """Import the app in a fresh process; None when that fails, which is reported then."""
    began = time.time()
    command = [sys.executable, "-m", "busfn_cli.inspecting", request.ref, *(["-m"] if request.is_module else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        console.error(done.stderr.strip())
        return None
    found = json.loads(done.stdout.splitlines()[-1])
    return Code(found["directory"], [FunctionSpec.from_dict(one) for one in found["functions"]], began)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End a session as Ctrl-C does."""
    raise KeyboardInterrupt


class _Session:
    """One `busfn serve`, from its first code to its last."""

    def __init__(self, request: ServeRequest, console: Console, stack: Stack, settings: Settings) -> None:
        self._request = request
        self._console = console
        self._stack = stack
        self._env = settings.env
        self._own_server = settings.address is None
        self._version = 0
        self._followed: set[str] = set()
        """Apps whose output is shown: code that changes may rename its app."""

    def run(self, code: Code) -> int:
        self._stack.connect_host()
        options = ClientOptions(address=self._stack.address, env=self._env, key=self._stack.key)
        client = Client.open(options)
        try:
            self._take(code, client)
            self._console.result(f"ready {shown_address(self._stack.address, own=self._own_server)}")
            self._reload(code, client)
        finally:
            left = self._stack.drain(2.0)
            client.close()
            if left:
                self._console.warn(dropped(left))
        return 0

    def _take(self, code: Code, client: Client) -> None:
        """Have this code served, as the next version. Raises `ConflictError` when somebody else serves its app."""
        app = code.functions[0].app
        self._stack.claim(app, "serve")
        if app not in self._followed:
            self._followed.add(app)
            logs = LiveLogs(client.link, self._console.log, self._console.state, answered=True)
            client.link.portal.run(logs.follow(app))
        self._version += 1
        self._stack.serve([replace(spec, version=self._version) for spec in code.functions])
        names = ", ".join(spec.name for spec in code.functions)
        self._console.note(f"{time.strftime('%H:%M:%S')} serving {app}: {names}")

    def _reload(self, code: Code, client: Client) -> None:
        for _ in changes(code.directory, code.read_at):
            fresh = inspect_code(self._request, self._console)
            if fresh is None or not self._taken(fresh, client):
                self._console.note("the code before this change is served on")

    def _taken(self, code: Code, client: Client) -> bool:
        try:
            self._take(code, client)
        except InvalidError as error:
            self._console.error(describe(error))
            return False
        return True
