"""`busfn up` in a home of its own, and apps to deploy on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from busfn.binding import DEFAULT

BUSFN = str(Path(sys.executable).parent / "busfn")


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

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([BUSFN, *args], capture_output=True, text=True, timeout=60, check=False)

    def json(self, *args: str) -> Any:
        return json.loads(self.busfn(*args, "--json"))

    def workers(self, function: str = "") -> list[dict[str, Any]]:
        """Workers that are not on their way out, of one function or of all."""
        found = self.json("worker", "list")
        return [one for one in found if function in ("", one["function"]) and one["state"] in ("starting", "ready")]

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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user of its own, configured for nothing."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in list(os.environ):
        if name.startswith(("BUSFN_", "NATS_", "XDG_")):
            monkeypatch.delenv(name)
    yield folder
    client, DEFAULT.client = DEFAULT.client, None
    if client is not None:
        client.close()


@pytest.fixture
def up(home: Path) -> Iterator[Up]:
    made = Up(home)
    assert made.start().startswith("ready nats://127.0.0.1:")
    yield made
    made.stop()
    for pid in made.children().values() if made.process else ():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Writes an app to a file of its own folder; returns its path."""

    def write(text: str, name: str = "shop") -> str:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.py"
        path.write_text(textwrap.dedent(text))
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
