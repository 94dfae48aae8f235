"""The ephemeral run of an app: ``with app.run():``."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

from busfn.bus.base import Message
from busfn.client import Client, ClientOptions
from busfn.config import load_settings
from busfn.context import is_local
from busfn.errors import InvalidError
from busfn.invoke.progress import Watch, unwatched
from busfn.refs import Source
from busfn.spec import FunctionSpec
from busfn.stack import Stack

if TYPE_CHECKING:
    from busfn.app import App

LogPrinter = Callable[[str, str], None]
"""Called with a function's name and one line that it printed; from the loop thread."""


GRACE = 2.0
"""Seconds that inputs have which still run when the app's run is over."""


class RunningApp:
    """Owner of a running app: enter it with ``with`` or ``async with``, or drive `start` and `stop`."""

    def __init__(
        self,
        app: App,
        *,
        env: str | None = None,
        show_logs: bool = True,
        on_log: LogPrinter | None = None,
        watch: Watch = unwatched,
        stack: Stack | None = None,
    ) -> None:
        self._app = app
        self._on_log = on_log or (print_log if show_logs else None)
        self._watch = watch
        self._settings = load_settings(env=env)
        self._stack = stack
        self._client: Client | None = None

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

    def stop(self, *, grace: float = GRACE) -> None:
        """Drain the workers and end everything that was started; inputs that still run have ``grace`` seconds."""
        self._app.binding.client = None
        client, self._client = self._client, None
        stack, self._stack = self._stack, None
        try:
            if stack is not None and client is not None:
                stack.drain(grace)
        finally:
            if client is not None:
                client.link.portal.run(client.link.bus.flush())
                client.close()
            if stack is not None:
                stack.stop()

    def _start(self, stack: Stack) -> None:
        stack.connect_host()
        self._client = self._connect(stack)
        if self._on_log is not None:
            self._client.link.portal.run(self._follow_logs(self._client, self._on_log))
        stack.serve(specs(self._app))
        self._app.binding.client = self._client

    def _connect(self, stack: Stack) -> Client:
        alias = alias_main(self._app)
        options = ClientOptions(
            address=stack.address, env=self._settings.env, key=stack.key, main_module=alias, watch=self._watch
        )
        return Client.open(options)

    async def _follow_logs(self, client: Client, printer: LogPrinter) -> None:
        def on_message(message: Message) -> None:
            function = client.link.subjects.parse(message.subject).function
            for line in message.body.decode(errors="replace").splitlines():
                printer(function, line)

        await client.link.bus.subscribe(client.link.subjects.logs(self._app.name), on_message)


def print_log(function: str, line: str) -> None:
    """One line of a worker's output, on stderr."""
    print(f"{function} | {line}", file=sys.stderr)


def specs(app: App) -> list[FunctionSpec]:
    """The app's functions as workers need to know them."""
    return [_spec(app, name) for name in app.functions]


def _spec(app: App, name: str) -> FunctionSpec:
    function = app.functions[name]
    raw, options = function.get_raw_f(), function.options
    return FunctionSpec(
        app=app.name,
        name=name,
        source=source_of(raw.__module__).to_dict(),
        qualname=raw.__qualname__,
        is_generator=function.is_generator,
        timeout=options.timeout,
        startup_timeout=options.startup_timeout or options.timeout,
        single_use_containers=options.single_use_containers,
        retries=options.retries,
        env=options.env,
        scaling=options.scaling,
    )


def source_of(module_name: str) -> Source:
    """How a worker imports a module that is imported here."""
    module = sys.modules[module_name]
    if module_name == "__main__":
        return _main_source(module)
    if module.__file__ is None:
        raise InvalidError(f"module {module_name} has no file that workers could import")
    file = os.path.abspath(module.__file__)
    root = os.path.dirname(file)
    if "." not in module_name and os.path.basename(file) == f"{module_name}.py":
        return Source(kind="script", target=file, directory=root)
    depth = module_name.count(".") + (os.path.basename(file) == "__init__.py")
    for _ in range(depth):
        root = os.path.dirname(root)
    return Source(kind="module", target=module_name, directory=root)


def _main_source(module: ModuleType) -> Source:
    spec = module.__spec__
    if spec is not None:  # python -m package.module
        return Source(kind="module", target=spec.name, directory=os.getcwd())
    if module.__file__ is None:
        raise InvalidError("functions must live in a file that workers can import, not in an interactive session")
    file = os.path.abspath(module.__file__)
    return Source(kind="script", target=file, directory=os.path.dirname(file))


def alias_main(app: App) -> str:
    """Make the running script importable under the name that workers give it, so that its classes are the same on both
    sides; returns that name, or "" when the app is not defined in the script that runs."""
    if not any(function.get_raw_f().__module__ == "__main__" for function in app.functions.values()):
        return ""
    main = sys.modules["__main__"]
    source = _main_source(main)
    name = source.target if source.kind == "module" else os.path.basename(source.target).removesuffix(".py")
    sys.modules.setdefault(name, main)
    return name
