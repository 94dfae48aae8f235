"""A Redis of our own: loopback, a free port, a folder that goes away with it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Self

PATIENCE = 10.0


def find_redis() -> str | None:
    """The path of the server, None when there is none."""
    return shutil.which("redis-server")


class Redis:
    """Owned by one ``with``. Persists nothing, as Redis is run when it is only a broker and speed is wanted."""

    def __enter__(self) -> Self:
        binary = find_redis()
        assert binary is not None
        self._folder = tempfile.mkdtemp(prefix="bench-redis-")
        port = _free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        place = ["--port", str(port), "--bind", "127.0.0.1", "--dir", self._folder]
        command = [binary, *place, "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _wait_for(port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
