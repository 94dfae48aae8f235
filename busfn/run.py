"""The ephemeral run of an app: ``with app.run():``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from busfn.binding import DEFAULT
from busfn.bus.base import Bus
from busfn.client import Client, ClientOptions
from busfn.config import load_settings
from busfn.context import is_local
from busfn.errors import ConnectionError, InvalidError
from busfn.forks import FORKS
from busfn.invoke.progress import Watch, unwatched
from busfn.live_logs import LiveLogs, LogPrinter, StatePrinter
from busfn.printable import printable
from busfn.sources import alias_main, specs
from busfn.stack import Stack

if TYPE_CHECKING:
    from busfn.app import App

NotePrinter = Callable[[str], None]
"""Called with what the user should know at the end of the run."""

GRACE = 2.0
"""Seconds that inputs have which still run when the app's run is over."""
LAST_WORDS = 3.0
"""Seconds that the bus has to hand us what they have printed."""


class RunningApp:
    """Owner of a running app: enter it with ``with`` or ``async with``, or drive `start` and `stop`."""

    def __init__(
        self,
        app: App,
        *,
        env: str | None = None,
        show_logs: bool = True,
        on_log: LogPrinter | None = None,
        on_state: StatePrinter | None = None,
        on_note: NotePrinter | None = None,
        watch: Watch = unwatched,
        stack: Stack | None = None,
    ) -> None:
        self._app = app
        self._on_log = on_log or (print_log if show_logs else None)
        self._on_state = on_state
        self._on_note = on_note or print_note
        self._watch = watch
        self._settings = load_settings(env=env)
        self._stack = stack
        self._client: Client | None = None
        self.token = app.name
        """Under which the app is served: its name, or a token of its own while others have the name."""
        FORKS.watch(self)

    def __enter__(self) -> App:
        self.start()
        return self._app

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop(grace=0.0 if kind is KeyboardInterrupt else GRACE)

    async def __aenter__(self) -> App:
        await asyncio.to_thread(self.start)
        return self._app

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def start(self) -> None:
        """Start the processes and connect; on return the functions can be called."""
        if not is_local():
            raise InvalidError(
                f"{self._app!r} is being run inside a worker: guard the run with `if __name__ == '__main__':`"
            )
        if self._app.binding.client is not None:
            raise InvalidError("App is already running")
        stack = self._stack = self._stack or Stack(self._settings)
        try:
            self._start(stack)
        except BaseException:
            self.stop()
            raise

    def abandon(self) -> None:
        """In a forked child: calls go over a connection of its own, and what ends here ends nothing of the parent's."""
        self._client = self._stack = None

    def detach(self) -> None:
        """Disconnect, and let the app go on until its durable work is done; for a bus that outlives this process."""
        client = self._disconnected()
        stack, self._stack = self._stack, None
        assert stack is not None
        assert client is not None
        stack.detach()
        client.close()

    def stop(self, *, grace: float = GRACE) -> None:
        """Drain the workers and end everything that was started; inputs that still run have ``grace`` seconds."""
        client = self._disconnected()
        stack, self._stack = self._stack, None
        try:
            if stack is not None and client is not None:
                left = stack.drain(grace)
                if left:
                    self._on_note(dropped(left))
        finally:
            if client is not None:
                client.link.portal.run(_hear_out(client.link.bus))
                client.close()
            if stack is not None:
                stack.stop()

    def _disconnected(self) -> Client | None:
        """From now on nothing is called over our client, which is to be closed."""
        self._app.binding.detach()
        client, self._client = self._client, None
        if client is not None:
            DEFAULT.leave(client)
        return client

    def _start(self, stack: Stack) -> None:
        stack.connect_host()
        self._client = self._connect(stack)
        self.token = stack.claim(self._app.name, "run")
        if self._on_log is not None:
            logs = LiveLogs(self._client.link, self._on_log, self._on_state)
            self._client.link.portal.run(logs.follow(self.token))
        stack.serve([replace(spec, app=self.token) for spec in specs(self._app)])
        self._app.binding.attach(self._client, "" if self.token == self._app.name else self.token)
        DEFAULT.enter(self._app.name, self._client)

    def _connect(self, stack: Stack) -> Client:
        alias = alias_main(self._app)
        options = ClientOptions(
            address=stack.address, env=self._settings.env, key=stack.key, main_module=alias, watch=self._watch
        )
        return Client.open(options)


async def _hear_out(bus: Bus) -> None:
    """Until what workers have printed is here; nothing comes from a bus that is away."""
    with suppress(ConnectionError):
        if bus.connected:
            await bus.flush(LAST_WORDS)


def print_log(function: str, line: str) -> None:
    """One line of a worker's output, on stderr."""
    print(f"{function} | {printable(line, lines=False, colours=True)}", file=sys.stderr)


def print_note(text: str) -> None:
    """What the user should know, on stderr."""
    print(text, file=sys.stderr)


def dropped(left: Mapping[str, int]) -> str:
    """What is said of inputs by function that nobody will run any more."""
    total, each = sum(left.values()), ", ".join(f"{name}: {count}" for name, count in left.items())
    what = "1 queued input was" if total == 1 else f"{total} queued inputs were"
    return (
        f"busfn: {what} dropped, because this run has ended ({each}). Wait for them (`call.get()`, `call.iter()`),"
        " or keep them with `busfn run --detach` on a bus that goes on (`busfn up`)"
    )
