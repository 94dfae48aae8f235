"""`App`: a named set of functions, and its ephemeral run."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from busfn.binding import Binding
from busfn.errors import InvalidError
from busfn.function import Definition, Function, is_generator_function
from busfn.protocol.names import Target, validate_function_name, validate_name
from busfn.spec import Options

if TYPE_CHECKING:
    from busfn.deployment import Deployment
    from busfn.run import RunningApp

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


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
        _check_decorated(raw)
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
        self.entrypoints: dict[str, LocalEntrypoint[..., Any]] = {}
        self._binding = Binding()

    def __repr__(self) -> str:
        return f"App({self.name!r})"

    @property
    def binding(self) -> Binding:
        """Connects the app's functions to a client while the app runs."""
        return self._binding

    def function(self, *misplaced: Any, **options: Any) -> FunctionDecorator:
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
        """Take in the functions of another app; names that exist here win."""
        for function in other.functions.values():
            if function.name not in self.functions:
                self._register(function.get_raw_f(), function.options)
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
        name = validate_function_name(options.name or raw.__qualname__)
        known = self.functions.get(name)
        if known is not None and known.get_raw_f() is not raw:
            _warn_of_two(self, name, known.get_raw_f().__module__, raw.__module__)
        is_generator = is_generator_function(raw) if options.is_generator is None else options.is_generator
        if is_generator and options.retries is not None:
            raise InvalidError(f"{name} is a generator function: they do not support `retries`")
        definition = Definition(self, raw, options, is_generator)
        function: Function[..., Any, Any] = Function(Target(self.name, name), self._binding, definition)
        self.functions[name] = function
        return function


def _warn_of_two(app: App, name: str, *modules: str) -> None:
    import logging  # which takes as long to load as all else that defining a function takes

    text = "%r defines %r twice, in %s and in %s; the later one is used"
    logging.getLogger("busfn").warning(text, app, name, *modules)


def _is_name(given: object) -> bool:
    return given is None or isinstance(given, str)


def _check_decorated(raw: object) -> None:
    if isinstance(raw, Function):
        raise InvalidError(f"{cast(Any, raw)!r} is a Function already: decorate the plain function")
    if inspect.isclass(raw):
        raise InvalidError(f"`@app.function` takes functions, and {raw.__name__} is a class")
    if not callable(raw) or not hasattr(raw, "__qualname__"):
        raise InvalidError(f"`@app.function` takes functions, not {type(raw).__name__}")
    if "<locals>" in cast(Any, raw).__qualname__:
        raise InvalidError(
            f"{cast(Any, raw).__name__} is defined inside another function, where workers cannot find it:"
            " move it to the global scope of its module"
        )


def _name_of_file() -> str:
    """Apps without a name are called after the file that makes them."""
    frame = inspect.currentframe()
    here = frame.f_code.co_filename if frame else ""
    while frame is not None and frame.f_code.co_filename == here:
        frame = frame.f_back
    stem = frame.f_code.co_filename.rsplit("/", 1)[-1].removesuffix(".py") if frame else ""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in stem).strip("-")
    return kept[:64] or "app"
