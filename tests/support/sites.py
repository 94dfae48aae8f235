"""Places where things are killed: a server, hosts with workers, and what runs beside the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import durable

from busfn import Function
from busfn.bus.server import EmbeddedServer
from busfn_services.parentage import descendants

BUSFN = str(Path(sys.executable).parent / "busfn")
APP = durable.__file__


class Service:
    """`busfn worker`: a host as others see it."""

    def __init__(self, ref: str, processes: int, url: str = "") -> None:
        command = [BUSFN, "worker", ref, "-n", str(processes)]
        pipe, environ = subprocess.PIPE, os.environ | ({"BUSFN_URL": url} if url else {})
        self._process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environ)
        self._said: list[str] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._said.append(line)

    def wait_ready(self) -> Self:
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith("ready"), self._said
        return self

    @property
    def said(self) -> str:
        """What it has printed on stderr so far, its workers included."""
        return "".join(self._said)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the supervisor is gone."""
        return self._process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """To the supervisor and all its workers."""
        for pid in (self.pid, *descendants(self.pid)):
            os.kill(pid, number)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=40)
        self._listener.join(timeout=10)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


class Site:
    """A server that can be killed and restarted, and hosts with workers on it."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.server = EmbeddedServer.launch(store_dir=store, token="site").wait_ready()
        self.url = self.server.address.servers[0].replace("://", "://site@")
        self._services: list[Service] = []

    def serve(self, function: str, processes: int, port: int = 0) -> Service:
        """Start a host with workers, which reach the server at its port or another one; returns when calls are
        answered."""
        url = self.url.replace(f":{self.server.port}", f":{port}") if port else ""
        service = Service(f"{APP}::{function}", processes, url)
        self._services.append(service)
        return service.wait_ready()

    def kill_server(self) -> None:
        """As hard as it goes; the data stay."""
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.wait_exit()

    def restart_server(self) -> None:
        """The same server again."""
        port = self.server.port
        self.server.stop()
        self.server = EmbeddedServer.launch(store_dir=self._store, token="site", port=port).wait_ready()

    def dismiss(self) -> None:
        """Stop the hosts."""
        self.dismiss_but()

    def dismiss_but(self, *kept: Service) -> None:
        """Stop the other hosts."""
        for service in self._services:
            if service not in kept:
                service.stop()
        self._services = list(kept)

    def close(self) -> None:
        self.dismiss()
        self.server.stop()


def named(function: str) -> Function[Any, Any]:
    """A handle as any other client has it."""
    return Function.from_name("durable", function)


def until(condition: Callable[[], object], patience: float = 60.0) -> None:
    """Wait for something that no event tells."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def busfn(*args: str) -> str:
    """What the command prints."""
    done = subprocess.run([BUSFN, *args], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def dead_letters() -> dict[str, Any]:
    """All of them, by call and index."""
    return {f"{letter['call']}.{letter['index']}": letter for letter in json.loads(busfn("dead", "list", "--json"))}


def in_background(work: Callable[[threading.Event], None]) -> Callable[[], None]:
    """Run something until it is told to stop; returns what tells it."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()

    def end() -> None:
        stop.set()
        thread.join()

    return end
