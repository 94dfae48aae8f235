"""Runs the real `busfn` command, alone in its own home and folder, and sees to it that nothing is left of it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

BUSFN = str(Path(sys.executable).parent / "busfn")
SCRIPTS = Path(__file__).parent / "scripts"
TIMEOUT = 40.0
MARK = "CLI_TEST"
"""A variable that all descendants of a run inherit: they are found by it, whoever their parent is now."""


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int
    out: str
    err: str


class Running:
    """A run that goes on. It is killed when it takes too long, which ends every wait for it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._watchdog = threading.Timer(TIMEOUT, process.kill)
        self._watchdog.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def line(self) -> str:
        """The next line of its stdout; empty when there will be none."""
        return _stream(self._process.stdout).readline().rstrip("\n")

    def error_line(self) -> str:
        """The next line of its stderr."""
        return _stream(self._process.stderr).readline().rstrip("\n")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it is gone; descendants may go on."""
        return self._process.wait()

    def end(self) -> Ended:
        """How it ended, once it and all that share its output are gone."""
        out, err = self._process.communicate()
        self.close()
        return Ended(self._process.returncode, out, err)

    def close(self) -> None:
        self._watchdog.cancel()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


class Cli:
    """Makes scripts and runs `busfn` on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.temp = folder / "tmp"
        self.home = folder / "home"
        for made in (self.folder, self.temp, self.home):
            made.mkdir()
        self._mark = secrets.token_hex(8)
        self._running: list[Running] = []

    def script(self, name: str, text: str) -> None:
        """A file in the folder that commands run in."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def start(self, *args: object, env: dict[str, str] | None = None, program: str = BUSFN, given: str = "") -> Running:
        """``given`` is what the program reads from its standard input."""
        source = self.temp / "stdin"
        source.write_text(given)
        with source.open() as stdin:
            process = self._popen([program, *map(str, args)], env or {}, stdin)
        source.unlink()
        running = Running(process)
        self._running.append(running)
        return running

    def _popen(self, command: list[str], env: dict[str, str], stdin: IO[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environ() | env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __call__(self, *args: object, env: dict[str, str] | None = None) -> Ended:
        return self.start(*args, env=env).end()

    def python(self, *args: object, given: str = "", env: dict[str, str] | None = None) -> Ended:
        """Run the interpreter itself."""
        return self.start(*args, env=env, program=sys.executable, given=textwrap.dedent(given)).end()

    def _environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("BUSFN_", "NATS_", "XDG_", "PYTEST_"))}
        return kept | {"HOME": str(self.home), "TMPDIR": str(self.temp), MARK: self._mark}

    def processes(self) -> dict[int, str]:
        """All processes that stem from this test's runs, with their command lines."""
        mark = f"{MARK}={self._mark}".encode()
        found: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError):  # it went away, or is not ours to look at
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def leftovers(self) -> list[str]:
        """Processes and temporary folders that are there now."""
        return [f"{pid}: {line}" for pid, line in self.processes().items()] + [
            str(path) for path in self.temp.glob("busfn-*")
        ]

    def close(self) -> list[str]:
        """End everything; returns what was there longer than it should."""
        for running in self._running:
            running.close()
        with suppress(TimeoutError):
            poll(lambda: not self.leftovers(), 5.0)
        left = self.leftovers()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def poll(condition: Callable[[], bool], patience: float = 20.0) -> None:
    """Wait until something is true; raises `TimeoutError` when it does not become so."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not become true")
        time.sleep(0.01)


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """Runs `busfn`; the test fails when a process or a temporary folder of a run is left."""
    cli = Cli(tmp_path)
    shutil.copy(SCRIPTS / "example.py", cli.folder)
    yield cli
    left = cli.close()
    assert not left


@pytest.fixture(name="poll")
def poll_fixture() -> Callable[..., None]:
    return poll
