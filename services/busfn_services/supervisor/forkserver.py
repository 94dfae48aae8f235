"""A small process that has the framework imported and forks workers from itself.

It stays single-threaded and runs no event loop, so forking it is safe, and a worker starts in a millisecond instead of
a fresh interpreter's hundred and fifty. It must be launched before its parent starts any thread or loop.

Wire: the supervisor sends a length and a JSON object, with the worker's four descriptors (command socket, in-flight
table, stdout, stderr) attached to the length; the server answers JSON lines: ``started`` and ``exited``.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import struct
import sys
from typing import Any

from busfn.bus import core
from busfn_services.flight import FlightTable
from busfn_services.worker.output import Output
from busfn_services.worker.worker import WorkerConfig, run_worker

_LENGTH = struct.Struct(">I")
DESCRIPTORS = 4
PRELOADED = (core,)
"""Modules that every worker needs and that nothing here uses: imported once, before the first fork."""


class ForkServer:
    """The supervisor's end."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self.socket = sock
        self.pid = pid

    @classmethod
    def launch(cls) -> ForkServer:
        """Fork the server off; returns in the parent only."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid:
            theirs.close()
            return cls(ours, pid)
        ours.close()
        sys.exit(_Server(theirs).run())

    def fork(self, config: dict[str, Any], fds: list[int]) -> None:
        """Ask for a worker; `fds` are its descriptors and stay ours to close."""
        body = json.dumps(config).encode()
        socket.send_fds(self.socket, [_LENGTH.pack(len(body))], fds)
        self.socket.sendall(body)


class _Server:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._children: dict[int, str] = {}
        self._wake, self._waker = os.pipe()

    def run(self) -> int:
        """Serve until the supervisor is gone, then end all workers. In a forked worker: its whole life."""
        _detach_stdin()
        os.set_blocking(self._waker, False)
        signal.set_wakeup_fd(self._waker)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in (signal.SIGINT, signal.SIGTERM):  # sent to all of a group or a control group, and meant for
            signal.signal(number, signal.SIG_IGN)  # the supervisor, whose end is ours
        gc.freeze()
        watched: list[socket.socket | int] = [self._socket, self._wake]
        while True:
            readable, _, _ = select.select(watched, [], [])
            if self._wake in readable:
                os.read(self._wake, 4096)
                self._reap()
            if self._socket in readable:
                request = self._receive()
                if request is None:
                    self._kill_all()
                    return 0
                code = self._fork(*request)
                if code is not None:
                    return code

    def _receive(self) -> tuple[dict[str, Any], list[int]] | None:
        try:
            length, fds, _, _ = socket.recv_fds(self._socket, _LENGTH.size, DESCRIPTORS)
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
        pid = os.fork()
        if pid == 0:
            return self._become_worker(config, fds)
        for fd in fds:
            os.close(fd)
        self._children[pid] = config["worker"]
        self._tell(event="started", worker=config["worker"], pid=pid)
        return None

    def _become_worker(self, config: dict[str, Any], fds: list[int]) -> int:
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

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            worker = self._children.pop(pid, None)
            if worker is not None:
                self._tell(event="exited", worker=worker, code=os.waitstatus_to_exitcode(status))

    def _tell(self, **event: Any) -> None:
        try:
            self._socket.sendall(json.dumps(event).encode() + b"\n")
        except OSError:  # the supervisor is gone: the next read sees the end
            return

    def _kill_all(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        for pid in list(self._children):
            os.waitpid(pid, 0)


def _detach_stdin() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
