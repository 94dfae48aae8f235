"""What an ephemeral app needs to run: a server (unless one is configured) and a host process with its workers.

Both are started early and spoken to later, so that their start-up overlaps with importing the user's code. The host is
driven over pipes: one JSON object a line in, one a line out; the end of its input means we are gone, and it leaves.
"""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from busfn import errors
from busfn.bus.server import EmbeddedServer
from busfn.config import BusAddress, Settings
from busfn.forks import FORKS, silence
from busfn.hostprocess import launch_host
from busfn.sources import signed
from busfn.spec import FunctionSpec

if TYPE_CHECKING:
    from busfn.claims import Use

READY_TIMEOUT = 30.0


class Stack:
    """The processes behind one ephemeral app. Start it early, `serve` once, and always `stop` it."""

    def __init__(self, settings: Settings, host: subprocess.Popen[bytes] | None = None) -> None:
        self._env = settings.env
        self.key = settings.signing_key or (secrets.token_bytes(32) if settings.address is None else None)
        self._address = settings.address
        self._server = EmbeddedServer.launch() if settings.address is None else None
        self._host = host or launch_host()
        FORKS.watch(self)

    @property
    def address(self) -> BusAddress:
        """Where the bus is; waits until an embedded server is ready."""
        if self._address is None:
            assert self._server is not None
            self._server.wait_ready(READY_TIMEOUT)
            self._address = self._server.address
        return self._address

    def connect_host(self) -> None:
        """Let the host connect and prepare while we go on."""
        self._tell(
            op="open",
            address=asdict(self.address),
            env=self._env,
            key=self.key.hex() if self.key else "",
            shared=self._server is None,
        )

    def claim(self, app: str, use: Use) -> str:
        """The token under which the app can be served: its name, unless others have it.

        Raises `ConflictError` when it cannot be served at all.
        """
        if self._server is not None and use == "run":
            return app  # no one else knows of this server
        self._tell(op="claim", app=app, use=use)
        return str(self._expect("claimed")["token"])

    def serve(self, specs: Sequence[FunctionSpec]) -> None:
        """Have the functions served; on return every call to them will be answered.

        Raises what the host reports, as the same class of `busfn.errors`, and `InvalidError` for code that has to be
        signed without a key.
        """
        self._tell(op="serve", functions=[spec.to_dict() for spec in signed(specs, self.key)])
        self._expect("ready")

    def drain(self, grace: float) -> dict[str, int]:
        """Stop the workers, running inputs after ``grace`` seconds; on return all they printed was sent.

        Returns how many inputs of each function are left in the queue. Harmless when the host is gone.
        """
        if self._host.poll() is None:
            try:
                self._tell(op="stop", grace=grace)
                return {str(name): int(count) for name, count in self._expect("drained")["left"].items()}
            except errors.Error:  # it died on the way: nothing is left to drain
                return {}
        return {}

    def detach(self) -> None:
        """Leave the host to itself: it goes on until the app's durable work is done. Needs a bus that outlives us."""
        self._tell(op="detach")
        self._expect("detached")
        for pipe in (self._host.stdin, self._host.stdout):
            if pipe is not None:
                _close(pipe)
        self._host.returncode = 0  # not ours to wait for any more

    def abandon(self) -> None:
        """In a forked child: the processes are the parent's, and their pipes must end with the parent."""
        self._host.returncode = 0  # not our child: nothing to wait for, nothing to warn about
        silence(pipe.fileno() for pipe in (self._host.stdin, self._host.stdout) if pipe is not None and not pipe.closed)

    def stop(self) -> None:
        """End all processes and remove their files."""
        if self._server is not None:
            self._server.hang_up()
        for pipe in (self._host.stdin, self._host.stdout):
            if pipe is not None:
                _close(pipe)
        try:
            self._host.wait(10)
        except subprocess.TimeoutExpired:
            self._host.kill()
            self._host.wait()
        if self._server is not None:
            self._server.stop()

    def _tell(self, **message: Any) -> None:
        assert self._host.stdin is not None
        try:
            self._host.stdin.write(json.dumps(message).encode() + b"\n")
            self._host.stdin.flush()
        except OSError:
            raise self._host_died() from None

    def _expect(self, event: str) -> dict[str, Any]:
        assert self._host.stdout is not None
        while line := self._host.stdout.readline():
            message: dict[str, Any] = json.loads(line)
            if message["event"] == event:
                return message
            if message["event"] == "error":
                kind = getattr(errors, message["kind"], errors.ServiceError)
                raise kind(message["text"])
        raise self._host_died()

    def _host_died(self) -> errors.ServiceError:
        code = self._host.wait()
        return errors.ServiceError(f"the worker host ended unexpectedly (exit code {code}); its messages are above")


def _close(pipe: Any) -> None:
    try:
        pipe.close()
    except OSError:  # the host is gone and something was left in the buffer
        return
