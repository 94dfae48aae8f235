"""`busfn up` in a home of its own, shared by the tests that do not hurt it, and apps to deploy on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from proxies import Proxy
from typer.testing import CliRunner

from busfn.binding import DEFAULT
from busfn.bus.server import EmbeddedServer
from busfn.operating import Operator
from busfn_cli.commands.root import build
from busfn_cli.fleet import hosts
from busfn_services.reports import WorkerReport

BUSFN = str(Path(sys.executable).parent / "busfn")
LONG = ("deploy", "run", "serve", "up")
"""Commands that import an app or stay: they get a process of their own. The others run in this one, which saves each
the start of an interpreter."""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Up:
    """A running `busfn up`, and the command line of the same user."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[str] | None = None

    def start(self, *args: str) -> str:
        """Start it; returns its ready line."""
        log = open(self.home / "up.log", "a")  # noqa: SIM115 - the process keeps it
        self.process = subprocess.Popen([BUSFN, "up", *args], stdout=subprocess.PIPE, stderr=log, text=True)
        log.close()
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def stop(self) -> int:
        """SIGTERM, and wait."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.terminate()
        process.communicate(timeout=60)
        return process.returncode

    def busfn(self, *args: str, code: int = 0) -> str:
        """A command's output; its exit code must be as given."""
        done = self.run(*args)
        assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run(self, *args: str) -> Done:
        if args[0] in LONG:
            done = subprocess.run([BUSFN, *args], capture_output=True, text=True, timeout=60, check=False)
            return Done(done.returncode, done.stdout, done.stderr)
        kept, DEFAULT.client = DEFAULT.client, None
        try:
            result = CliRunner().invoke(build(), args, prog_name="busfn")
        finally:
            DEFAULT.client = kept
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return Done(result.exit_code, result.stdout, result.stderr)

    def json(self, *args: str) -> Any:
        return json.loads(self.busfn(*args, "--json"))

    def workers(self, app: str, function: str = "") -> list[WorkerReport]:
        """Workers of an app, or of one function of it, that are not on their way out."""
        client = DEFAULT.require("a test")
        found = [worker for host in client.link.portal.run(hosts(client)) for worker in host.workers]
        return [
            one
            for one in found
            if one.app == app and function in ("", one.function) and one.state in ("starting", "ready")
        ]

    def children(self) -> dict[str, int]:
        """The processes that it keeps: ``agentd`` and ``controllerd``."""
        assert self.process is not None
        found: dict[str, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _parent(entry) == self.process.pid:
                command = (entry / "cmdline").read_bytes().decode().split("\0")
                if "-m" in command:
                    found[command[command.index("-m") + 1].rpartition(".")[2]] = int(entry.name)
        return found

    @property
    def log(self) -> str:
        return (self.home / "up.log").read_text()


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def become(user: Path, patch: pytest.MonkeyPatch) -> None:
    """Somebody with this home, configured for nothing."""
    patch.setenv("HOME", str(user))
    for name in list(os.environ):
        if name.startswith(("BUSFN_", "NATS_", "XDG_")):
            patch.delenv(name)


def forget_client() -> None:
    """The next test has another bus, or another environment."""
    client, DEFAULT.client = DEFAULT.client, None
    if client is not None:
        client.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """That of a user who has nothing yet."""
    folder = tmp_path / "home"
    folder.mkdir()
    become(folder, monkeypatch)
    yield folder
    forget_client()


@pytest.fixture
def future_up(home: Path) -> Iterator[Up]:
    """A stack that the test starts itself."""
    made = Up(home)
    yield made
    made.stop()


@pytest.fixture
def own_up(future_up: Up) -> Up:
    """A stack that the test may stop, and whose processes it may kill."""
    assert future_up.start().startswith("ready nats://127.0.0.1:")
    return future_up


@pytest.fixture
def proxy(server: EmbeddedServer, name: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Proxy]:
    """Stands between the server of this session and all that the test starts."""
    with Proxy("127.0.0.1", server.port) as made:
        monkeypatch.setenv("BUSFN_URL", f"nats://{server.address.token}@127.0.0.1:{made.port}")
        monkeypatch.setenv("BUSFN_ENV", name)
        monkeypatch.setenv("BUSFN_SIGNING_KEY", "a key")
        yield made


@pytest.fixture(scope="session")
def shared_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The stack of this session."""
    made = Up(tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as patch:
        become(made.home, patch)
        assert made.start().startswith("ready nats://127.0.0.1:")
    yield made
    made.stop()


@pytest.fixture
def up(shared_up: Up, app: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    """A stack that others use, too: the test has its own app on it, which is stopped after it."""
    become(shared_up.home, monkeypatch)
    yield shared_up
    client = DEFAULT.require("a test")
    registry = Operator(client).registry
    if client.link.portal.run(registry.state(app)) is not None:
        client.link.portal.run(registry.stop(app))
    forget_client()


@pytest.fixture
def app(name: str) -> str:
    """The name of the app that the test deploys."""
    return name


@pytest.fixture
def script(tmp_path: Path, app: str) -> Callable[..., str]:
    """Writes an app, called ``$APP`` in its text, to ``shop.py`` in a folder of its own; returns the path."""

    def write(text: str) -> str:
        folder = tmp_path / "shop"
        folder.mkdir(exist_ok=True)
        path = folder / "shop.py"
        path.write_text(textwrap.dedent(text).replace("$APP", app))
        return str(path)

    return write


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits until a condition holds."""

    def wait(condition: Callable[[], bool], timeout: float = 30.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(0.05)

    return wait
