"""`App`: a named set of functions, and its ephemeral run."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Never, ParamSpec, TypeVar, Unpack, cast, overload

from busfn.binding import Binding, Home
from busfn.errors import InvalidError
from busfn.function import Definition, Function, is_generator_function
from busfn.protocol.names import Target, validate_function_name, validate_name
from busfn.registration import check_decorated, default_name, importing_module
from busfn.spec import FunctionOptions, Options

if TYPE_CHECKING:
    from busfn.deployment import Deployment
    from busfn.run import RunningApp

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

_made: ContextVar[Callable[[App], None] | None] = ContextVar("busfn_made_app", default=None)


@contextmanager
def seen_apps(see: Callable[[App], None]) -> Generator[None]:
    """Calls ``see`` with each app that the code in this block makes."""
    token = _made.set(see)
    try:
        yield
    finally:
        _made.reset(token)


class LocalEntrypoint(Generic[P, R]):
    """A function that `busfn run` calls in the caller's process; calling it here just runs it."""

    def __init__(self, app: App, name: str, raw: Callable[P, R]) -> None:
        self.app = app
        self.name = name
        self.raw = raw

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.raw(*args, **kwargs)

    def __repr__(self) -> str:
        return f"LocalEntrypoint({self.name})"


class FunctionDecorator:
    """What ``@app.function(...)`` evaluates to; its overloads give the handle its types."""

    def __init__(self, register: Callable[[Callable[..., Any]], Function[..., Any, Any]]) -> None:
        self._register = register

    @overload
    def __call__(self, raw: Callable[P, AsyncGenerator[R, Any]]) -> Function[P, R, AsyncGenerator[R, Any]]: ...

    @overload
    def __call__(self, raw: Callable[P, Generator[R, Any, Any]]) -> Function[P, R, Generator[R, Any, Any]]: ...

    @overload
    def __call__(self, raw: Callable[P, AsyncIterator[R]]) -> Function[P, R, AsyncIterator[R]]: ...

    @overload
    def __call__(self, raw: Callable[P, Iterator[R]]) -> Function[P, R, Iterator[R]]: ...

    @overload
    def __call__(self, raw: Callable[P, Coroutine[Any, Any, R]]) -> Function[P, R, Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(self, raw: Callable[P, R]) -> Function[P, R, R]: ...

    def __call__(self, raw: Callable[..., Any]) -> Function[..., Any, Any]:
        if isinstance(raw, Function):
            raise InvalidError(f"{cast(Any, raw)!r} is a Function already: decorate the plain function")
        return self._register(raw)


class App:
    """A named set of functions.

    ``name`` may be left out for an app that is only run; it is then called after its file.
    """

    def __init__(self, name: str | None = None) -> None:
        if not _is_name(name):
            raise InvalidError(f"App takes its name as text, not {type(name).__name__}")
        self.name = validate_name(name, "app") if name is not None else _name_of_file()
        self.functions: dict[str, Function[..., Any, Any]] = {}
        self.registered_in: dict[str, str] = {}
        """The module that registers each function; empty for one that no import registers, whose code is sent."""
        self.entrypoints: dict[str, LocalEntrypoint[..., Any]] = {}
        self._binding = Binding()
        if (see := _made.get()) is not None:
            see(self)

    def __repr__(self) -> str:
        return f"App({self.name!r})"

    @property
    def binding(self) -> Binding:
        """Connects the app's functions to a client while the app runs."""
        return self._binding

    def function(self, *misplaced: Never, **options: Unpack[FunctionOptions]) -> FunctionDecorator:
        """Make a function callable over the bus; `busfn.spec.Options` and `busfn.spec.Scaling` list the options.

        Raises `InvalidError` for an unknown or impossible option.
        """
        if misplaced:
            raise InvalidError("Did you forget parentheses? Write `@app.function()`, with the options inside")
        return FunctionDecorator(partial(self._register, options=Options.parse(options)))

    def local_entrypoint(self, name: str | None = None) -> Callable[[Callable[P, R]], LocalEntrypoint[P, R]]:
        """Mark the function that ``busfn run`` starts with; its parameters become options of the command line."""
        if not _is_name(name):
            raise InvalidError("Did you forget parentheses? Write `@app.local_entrypoint()`")

        def mark(raw: Callable[P, R]) -> LocalEntrypoint[P, R]:
            if is_generator_function(raw):
                raise InvalidError(
                    f"{raw.__qualname__} is a generator, which would never run: a local entrypoint prints"
                )
            entrypoint = LocalEntrypoint(self, name or raw.__qualname__, raw)
            if entrypoint.name in self.entrypoints:
                raise InvalidError(f"{self!r} has a local entrypoint named {entrypoint.name!r} already")
            self.entrypoints[entrypoint.name] = entrypoint
            return entrypoint

        return mark

    def include(self, other: App) -> App:
        """Take in the functions of another app; names that exist here win.

        Handles of the other app belong to whichever of the two runs. Raises `InvalidError` for one from `lookup`.
        """
        module = importing_module()
        for name, function in other.functions.items():
            if function.app is None:
                raise InvalidError(f"{other!r} was looked up: only an app whose code is here can be included")
            if name not in self.functions:
                function.join(Home(self._binding, Target(self.name, name)))
                self._enter(name, function, module)
        return self

    def run(self, *, env: str | None = None, show_logs: bool = True) -> RunningApp:
        """Run the app as long as a ``with`` (or ``async with``) block lasts: workers start when functions are called.

        Uses the configured bus, else starts a server of its own. ``show_logs`` prints what workers print to stderr.
        """
        from busfn.run import RunningApp

        return RunningApp(self, env=env, show_logs=show_logs)

    def deploy(
        self, *, name: str | None = None, env: str | None = None, tag: str = "", strategy: str = "rolling"
    ) -> Deployment:
        """Store the app's code and functions as its next version, for the hosts of the environment to serve.

        ``strategy`` is ``rolling`` (old workers go when new ones are ready) or ``recreate`` (they go first). Raises
        `ExecutionError` without a bus or a signing key, `InvalidError` for code that is too large.
        """
        from busfn.deploying import deploy, draft  # packing code is nothing that a run should have to import

        return deploy(draft(self, name), env=env, tag=tag, strategy=strategy)

    @classmethod
    def lookup(cls, name: str, *, env: str | None = None) -> App:
        """A deployed app, with handles for its functions. Raises `NotFoundError` when it is not deployed."""
        from busfn.deploying import look_up_app

        app = cls(name)
        for function in look_up_app(name, env):
            app.functions[function] = Function.from_name(name, function)
        return app

    def _register(self, raw: Callable[..., Any], options: Options) -> Function[..., Any, Any]:
        check_decorated(raw, named=options.name is not None, serialized=options.serialized)
        name = validate_function_name(options.name or default_name(raw))
        is_generator = is_generator_function(raw) if options.is_generator is None else options.is_generator
        if is_generator and options.retries is not None:
            raise InvalidError(f"{name} is a generator function: they do not support `retries`")
        definition = Definition(self, raw, options, is_generator)
        function: Function[..., Any, Any] = Function(name, [Home(self._binding, Target(self.name, name))], definition)
        self._enter(name, function, "" if options.serialized else importing_module(raw))
        return function

    def _enter(self, name: str, function: Function[..., Any, Any], module: str) -> None:
        known = self.functions.get(name)
        if known is not None and known.get_raw_f() is not function.get_raw_f():
            known.leave(self._binding)
            if module or self.registered_in[name]:  # cells of a notebook are run again and again
                _warn_of_two(self, name, known.get_raw_f(), function.get_raw_f())
        self.functions[name] = function
        self.registered_in[name] = module


def _warn_of_two(app: App, name: str, *raws: object) -> None:
    import logging  # which takes as long to load as all else that defining a function takes

    modules = [getattr(raw, "__module__", None) for raw in raws]
    text = "%r defines %r twice, in %s and in %s; the later one is used, and calls by the earlier handle are refused"
    logging.getLogger("busfn").warning(text, app, name, *modules)


def _is_name(given: object) -> bool:
    return given is None or isinstance(given, str)


def _name_of_file() -> str:
    """Apps without a name are called after the file that makes them."""
    frame = inspect.currentframe()
    here = frame.f_code.co_filename if frame else ""
    while frame is not None and frame.f_code.co_filename == here:
        frame = frame.f_back
    stem = frame.f_code.co_filename.rsplit("/", 1)[-1].removesuffix(".py") if frame else ""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in stem).strip("-")
    return kept[:64] or "app"
