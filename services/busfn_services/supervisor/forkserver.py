"""A small process that has the framework imported and forks workers from itself.

It stays single-threaded and runs no event loop, so forking it is safe, and a worker starts in a millisecond instead of
a fresh interpreter's hundred and fifty. It must be launched before its parent starts any thread or loop.

Wire: the supervisor sends a length and a JSON object, with the worker's four descriptors (command socket, in-flight
table, stdout, stderr) attached to the length; the server answers JSON lines: ``started`` and ``exited``, with a
``reason`` when no process could be made.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from busfn.bus import core
from busfn.errors import ServiceError
from busfn.protocol.records import prepare
from busfn.spec import FunctionSpec
from busfn_services.flight import FlightTable
from busfn_services.parentage import adopt_orphans, die_with_parent, mark_descendants
from busfn_services.process import ignore_group_signals
from busfn_services.supervisor.leftovers import AGAIN, PATIENCE, Leftovers, exit_code
from busfn_services.worker.output import Output
from busfn_services.worker.worker import WorkerConfig, run_worker

_LENGTH = struct.Struct(">I")
DESCRIPTORS = 4
_CLOSE_ON_EXEC: int = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
"""For descriptors that are received: programs that user code starts shall not have them."""
PRELOADED = (core,)
"""Modules that every worker needs and that nothing here uses: imported once, before the first fork."""


@dataclass(frozen=True, slots=True)
class Ends:
    """What a supervisor has of a worker from the start."""

    socket: socket.socket
    table: FlightTable
    out: int
    err: int


class ForkServer:
    """The supervisor's end."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self.socket = sock
        self.pid = pid
        self._other = sock.dup()
        """Outlives the event loop that closes ``socket``."""

    @classmethod
    def launch(cls) -> ForkServer:
        """Fork the server off; returns in the parent only."""
        adopt_orphans()  # should the server be killed, what it has adopted comes to us
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid:
            theirs.close()
            return cls(ours, pid)
        ours.close()
        sys.exit(_Server(theirs).run())

    def fork(self, config: dict[str, Any]) -> Ends:
        """Ask for a worker. Raises `ServiceError` when there are too few descriptors or too little memory."""
        with ExitStack() as theirs, ExitStack() as ours:
            try:
                ends, fds = _connect(theirs, ours)
                body = json.dumps(config).encode()
                self._send(_LENGTH.pack(len(body)), fds)
                self._send(body)
            except OSError as error:
                raise ServiceError(f"no worker can be started: {error.strerror or error}") from error
            ours.pop_all()
        return ends

    def _send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """All of it, though the socket does not block for the sake of whoever reads it."""
        left = memoryview(data)
        while left:
            try:
                sent = socket.send_fds(self.socket, [left], fds) if fds else self.socket.send(left)
                left = left[sent:]
            except BlockingIOError:
                if not select.select([], [self.socket], [], PATIENCE)[1]:
                    raise TimeoutError("the process that makes them does not answer") from None

    def close(self) -> None:
        """End the server, its workers, and what these have started; blocks until all of it has ended. Idempotent."""
        self.socket.close()
        with self._other as sock, suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(2 * PATIENCE)
            while sock.recv(4096):  # until it has ended
                continue
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def _connect(theirs: ExitStack, ours: ExitStack) -> tuple[Ends, list[int]]:
    """Both ends of what connects a supervisor and a worker; the descriptors are the worker's."""
    near, far = socket.socketpair()
    ours.callback(near.close)
    theirs.callback(far.close)
    table = FlightTable.create_file()
    theirs.callback(os.close, table)
    reading, writing = list[int](), list[int]()
    for _ in ("stdout", "stderr"):
        read, write = os.pipe()
        ours.callback(os.close, read)
        theirs.callback(os.close, write)
        reading.append(read)
        writing.append(write)
    return Ends(near, FlightTable(table), *reading), [far.fileno(), table, *writing]


class _Server:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._workers: dict[int, str] = {}
        self._leftovers = Leftovers()
        self._wake, self._waker = os.pipe()

    def run(self) -> int:
        """Serve until the supervisor has ended, then end all workers. In a forked worker: its whole life."""
        os.setsid()  # Ctrl-C in a terminal is for the supervisor
        adopt_orphans()
        _detach_stdin()
        os.set_blocking(self._waker, False)
        signal.set_wakeup_fd(self._waker)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        ignore_group_signals()
        prepare(FunctionSpec)  # once for all workers
        gc.freeze()
        watched: list[socket.socket | int] = [self._socket, self._wake]
        while True:
            readable, _, _ = select.select(watched, [], [], self._leftovers.wait())
            self._reap(readable)
            if self._socket in readable:
                request = self._receive()
                if request is None:
                    self._end()
                    return 0
                code = self._fork(*request)
                if code is not None:
                    return code

    def _receive(self) -> tuple[dict[str, Any], list[int]] | None:
        try:
            length, fds, _, _ = socket.recv_fds(self._socket, _LENGTH.size, DESCRIPTORS, _CLOSE_ON_EXEC)
        except ConnectionResetError:  # the supervisor died with something unread
            return None
        if not length:
            return None
        body = b""
        size: int = _LENGTH.unpack(length)[0]
        while len(body) < size:
            part = self._socket.recv(size - len(body))
            if not part:
                return None
            body += part
        return json.loads(body), fds

    def _fork(self, config: dict[str, Any], fds: list[int]) -> int | None:
        """Fork a worker: None in the server, the exit code in the worker when its life is over."""
        name, server = config["worker"], os.getpid()
        try:
            if len(fds) < DESCRIPTORS:  # the kernel drops what there is no room for
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            pid = os.fork()
        except OSError as error:
            self._tell(event="exited", worker=name, code=1, reason=f"no process could be made: {error.strerror}")
            pid = -1
        if pid == 0:
            return self._become_worker(config, fds, server)
        for fd in fds:
            os.close(fd)
        if pid > 0:
            self._workers[pid] = name
            self._tell(event="started", worker=name, pid=pid)
        return None

    def _become_worker(self, config: dict[str, Any], fds: list[int], server: int) -> int:
        os.setsid()  # what user code starts is in this session, and is ended with it
        die_with_parent(server)
        mark_descendants(os.getpid())
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (self._wake, self._waker):
            os.close(fd)
        self._socket.close()
        command, table, out, err = fds
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        output = Output(config["log_token"])
        output.install()
        return run_worker(WorkerConfig.from_dict(config), socket.socket(fileno=command), FlightTable(table), output)

    def _reap(self, readable: Sequence[socket.socket | int]) -> None:
        """Report workers that have ended, and end what they have left behind."""
        if self._wake in readable:
            os.read(self._wake, 4096)
            for pid, worker in list(self._workers.items()):
                code = exit_code(pid)
                if code is not None:
                    del self._workers[pid]
                    self._leftovers.add(pid)
                    self._tell(event="exited", worker=worker, code=code)
        self._leftovers.sweep(self._workers)

    def _tell(self, **event: Any) -> None:
        try:
            self._socket.sendall(json.dumps(event).encode() + b"\n")
        except OSError:  # the supervisor has ended: the next read sees the end
            return

    def _end(self) -> None:
        """End all workers, and all that they and those before them have left behind."""
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while (self._workers or self._leftovers.wait() is not None) and time.monotonic() < deadline:
            wait = self._leftovers.wait()
            self._reap(select.select([self._wake], [], [], AGAIN if wait is None else wait)[0])


def _detach_stdin() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
