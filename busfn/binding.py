"""How a handle finds its client: the app that runs, else the worker it is used in, else the process's settings."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from busfn.errors import ExecutionError
from busfn.forks import FORKS
from busfn.protocol.names import Target, unpin

if TYPE_CHECKING:
    from busfn.client import Client


class Binding:
    """Shared by an app and its functions; empty while the app is not running."""

    def __init__(self) -> None:
        self.client: Client | None = None
        self.app = ""
        """Where the app is served, when it is not under its own name: under another one, or at a pinned version."""
        self.since = 0
        """When it was attached, in nanoseconds of the monotonic clock."""

    def attach(self, client: Client, app: str = "") -> None:
        """The app runs from now on; calls of its functions go over this client."""
        self.client, self.app, self.since = client, app, time.monotonic_ns()

    def detach(self) -> None:
        """The app runs no more."""
        self.client, self.app = None, ""

    def connected(self, app: str = "") -> Client | None:
        """The client for a function of ``app`` if there is one; opens no connection."""
        client = self.client or DEFAULT.worker
        return client.here() if client is not None and client.left else client

    def require(self, what: str, app: str = "") -> Client:
        """The client, or `ExecutionError` for a handle whose app is not running."""
        client = self.client or DEFAULT.worker
        if client is None:
            raise ExecutionError(
                f"{what} has not been hydrated: the App it is defined on is not running."
                " Call it in a function marked `@app.local_entrypoint()` and use `busfn run`,"
                " or inside `with app.run():`"
            )
        return client.here() if client.left else client


class DefaultBinding(Binding):
    """Of handles that were looked up by name.

    They use the bus of an app that runs in this process, else the one that the process is configured for.
    """

    def __init__(self, env: str | None = None) -> None:
        super().__init__()
        self.env = env
        """The environment that was asked for; None for the one at hand."""
        self.worker: Client | None = None
        """The client of the worker that this process is; None in all other processes."""
        self._beside: Client | None = None
        """Whose bus ours was connected to, if it was not the configured one."""
        self._lock = threading.Lock()
        self._others: dict[str, DefaultBinding] = {}
        self._running: tuple[tuple[str, Client], ...] = ()
        """Apps that run in this process, latest last."""

    def connected(self, app: str = "") -> Client | None:
        """The client for a function of ``app`` if there is one; opens no connection."""
        at_hand = DEFAULT.at_hand(app)
        client = at_hand if at_hand is not None and self.env in (None, at_hand.options.env) else self.client
        return client.here() if client is not None and client.left else client

    def require(self, what: str, app: str = "") -> Client:
        """The client for a function of ``app``; raises `ConnectionError` when no bus is configured or answers."""
        at_hand = DEFAULT.at_hand(app)
        if at_hand is not None and self.env in (None, at_hand.options.env):
            return at_hand.here() if at_hand.left else at_hand
        FORKS.watch(self)
        with self._lock:
            if self.client is None or self._beside is not at_hand:
                self.client, self._beside = _connect(what, self.env, at_hand), at_hand
            return self.client.here() if self.client.left else self.client

    def abandon(self) -> None:
        """In a forked child: another thread may have held the lock."""
        self._lock = threading.Lock()

    def of(self, env: str | None) -> DefaultBinding:
        """The binding of handles in an environment, each with a connection of its own; None is the one at hand."""
        with self._lock:
            return self if env is None else self._others.setdefault(env, DefaultBinding(env))

    def at_hand(self, app: str) -> Client | None:
        """The client of the worker that this is, or of an app that runs: the one with this name, else the latest."""
        if not self._running:
            return self.worker
        name = unpin(app)[0]
        named = [client for running, client in self._running if running == name]
        return named[-1] if named else self._running[-1][1]

    def enter(self, app: str, client: Client) -> None:
        """An app runs in this process from now on."""
        FORKS.watch(self)
        with self._lock:
            self._running = (*self._running, (app, client))

    def leave(self, client: Client) -> None:
        """It runs no more: connections beside it, which may be to a server of its own, are closed."""
        with self._lock:
            self._running = tuple(one for one in self._running if one[1] is not client)
            others = list(self._others.values())
        for other in others:
            other.drop_beside(client)

    def drop_beside(self, client: Client) -> None:
        """Close our connection if it was made for the bus of this client."""
        with self._lock:
            if self._beside is not client or self.client is None:
                return
            ours, self.client, self._beside = self.client, None, None
        ours.close()


@dataclass(frozen=True, slots=True)
class Home:
    """An app that serves a function, and the function's address there."""

    binding: Binding
    named: Target


def home_of(homes: Sequence[Home]) -> Home:
    """Where a function's calls go: to the app that runs, of several that do to the one that was started last."""
    running = [home for home in homes if home.binding.client is not None]
    return max(running, key=lambda home: home.binding.since) if running else homes[0]


def _connect(what: str, env: str | None, beside: Client | None) -> Client:
    """A client for the configured bus, or for another environment on the bus of one that is there."""
    from busfn.client import Client, ClientOptions
    from busfn.config import load_settings

    if beside is not None:
        return Client.open(replace(beside.options, env=env or beside.options.env))
    settings = load_settings(env=env)
    if settings.address is None:
        raise ExecutionError(
            f"{what} is looked up by name, but no bus is configured: set BUSFN_URL (or NATS_URL) or start `busfn up`"
        )
    return Client.open(ClientOptions(address=settings.address, env=settings.env, key=settings.signing_key))


DEFAULT = DefaultBinding()
"""The one binding of handles that were looked up by name; a worker process sets its client at start."""
