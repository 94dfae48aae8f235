"""A server that tells who subscribes to what, `busfn up` on it, and a deployed app; and what its processes take."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from busfn.bus.server import EmbeddedServer

BUSFN = str(Path(sys.executable).parent / "busfn")
MONITOR = re.compile(r"Starting http monitor on (\S+)")
APP = """
import busfn

app = busfn.App("fuzzed")
retries = busfn.Retries(max_retries=1, initial_delay=0.05)


@app.function(min_containers=1, max_containers=1, timeout=3, retries=retries)
def noisy(number: int = 0, text: str = ""):
    if text:
        raise ValueError(text)
    return number


@app.function(min_containers=1, max_containers=1, timeout=3)
def items(number: int = 0):
    yield from range(min(number, 10))


@app.function(min_containers=1, max_containers=1)
def calm(number: int) -> int:
    return number + 1
"""


@dataclass(frozen=True, order=True)
class Process:
    """One process; a number alone may be another one's by now."""

    pid: int
    started: int
    """Clock ticks since boot."""
    command: str


class Stack:
    """A server, `busfn up` on it, and the deployed app ``fuzzed``."""

    app = "fuzzed"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = EmbeddedServer.launch(extra_config='http: "127.0.0.1:-1"\n').wait_ready()
        self.monitor = next(found[1] for line in self.server.log if (found := MONITOR.search(line)))
        self.url = f"nats://{self.server.address.token}@127.0.0.1:{self.server.port}"

    def start(self) -> None:
        """Start `busfn up`, deploy, and wait until all workers are ready."""
        (self.folder / "fuzzed.py").write_text(APP)
        with open(self.folder / "up.log", "w") as log:
            self._up = subprocess.Popen([BUSFN, "up"], stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._up.stdout is not None
        assert self._up.stdout.readline().startswith("ready"), self.log
        self.busfn("deploy", str(self.folder / "fuzzed.py"))
        self.until(lambda: [worker["state"] for worker in self.workers()] == ["ready"] * 3)

    def stop(self) -> None:
        """End everything."""
        self._up.terminate()
        self._up.communicate(timeout=60)
        self.server.stop()

    def busfn(self, *args: str) -> str:
        """What a command prints; it must succeed."""
        done = self.run(*args)
        assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([BUSFN, *args], capture_output=True, text=True, timeout=60, check=False)

    def workers(self) -> list[dict[str, Any]]:
        return [worker for worker in json.loads(self.busfn("worker", "list", "--json")) if worker["app"] == self.app]

    def processes(self) -> list[Process]:
        """`busfn up` and all that has descended from it."""
        parents = {pid: _stat(pid) for pid in map(int, filter(str.isdigit, os.listdir("/proc")))}
        family = {self._up.pid}
        while grown := {pid for pid, stat in parents.items() if stat and stat[0] in family} - family:
            family |= grown
        return sorted(Process(pid, stat[1], _command(pid)) for pid in family if (stat := _stat(pid)))

    def subscribed(self) -> list[str]:
        """All that is subscribed to now, as the server has it."""
        with urllib.request.urlopen(f"http://{self.monitor}/connz?subs=1&limit=10000") as answer:
            connections = json.load(answer)["connections"]
        return sorted({subject for one in connections for subject in one.get("subscriptions_list", [])})

    @property
    def log(self) -> str:
        return (self.folder / "up.log").read_text(errors="replace")

    def until(self, condition: Any, patience: float = 60.0) -> None:
        """Wait for something that no event tells."""
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, self.log[-5000:]
            time.sleep(0.1)


def memory(process: Process) -> int:
    """Bytes that it alone uses."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    private = re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", rollup, re.MULTILINE)
    return sum(map(int, private)) * 1024


def _stat(pid: int) -> tuple[int, int] | None:
    """Parent and start time."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[1]), int(fields[19])


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:120]
