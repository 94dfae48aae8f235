"""How a function handle finds its client: bound by a running app or a worker, else by the process's settings."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from busfn.errors import ExecutionError

if TYPE_CHECKING:
    from busfn.client import Client


class Binding:
    """Shared by an app and its functions; empty while the app is not running."""

    def __init__(self) -> None:
        self.client: Client | None = None
        self.app = ""
        """Where the app is served, when it is not under its own name: under another one, or at a pinned version."""

    def require(self, what: str) -> Client:
        """The client, or `ExecutionError` for a handle whose app is not running."""
        if self.client is None:
            raise ExecutionError(
                f"{what} has not been hydrated: the App it is defined on is not running."
                " Call it in a function marked `@app.local_entrypoint()` and use `busfn run`,"
                " or inside `with app.run():`"
            )
        return self.client


class DefaultBinding(Binding):
    """Connects on first use, to the bus that this process is configured for."""

    def __init__(self, env: str | None = None) -> None:
        super().__init__()
        self._env = env
        self._lock = threading.Lock()
        self._others: dict[str, DefaultBinding] = {}

    def require(self, what: str) -> Client:
        """The process's client; raises `ConnectionError` when no bus is configured or answers."""
        with self._lock:
            if self.client is None:
                self.client = _connect(what, self._env)
        return self.client

    def of(self, env: str | None) -> Binding:
        """The binding of handles in an environment, each with a connection of its own; None is the configured one."""
        with self._lock:
            return self if env is None else self._others.setdefault(env, DefaultBinding(env))


def _connect(what: str, env: str | None) -> Client:
    from busfn.client import Client, ClientOptions
    from busfn.config import load_settings

    settings = load_settings(env=env)
    if settings.address is None:
        raise ExecutionError(
            f"{what} is looked up by name, but no bus is configured: set BUSFN_URL (or NATS_URL) or start `busfn up`"
        )
    return Client.open(ClientOptions(address=settings.address, env=settings.env, key=settings.signing_key))


DEFAULT = DefaultBinding()
"""The one binding of handles that were looked up by name; a worker process sets its client at start."""
