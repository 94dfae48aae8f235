"""`Function`: the handle that ``@app.function()`` leaves in place of the function. It delegates; it decides nothing."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar, cast

from busfn.binding import DEFAULT, Binding, DefaultBinding, Home, home_of
from busfn.errors import ExecutionError, InvalidError
from busfn.forks import FORKS
from busfn.protocol.names import (
    Target,
    is_run_token,
    pinned,
    unpin,
    validate_function_name,
    validate_name,
    validate_token,
)
from busfn.spec import AT_ONCE, Options, Start

if TYPE_CHECKING:
    from busfn.app import App
    from busfn.call import FunctionCall
    from busfn.calling import Calling, StreamDual
    from busfn.client import Client
    from busfn.maps import ForEachDual, MapDual
    from busfn.spawning import SpawnMapDual
    from busfn.spec import Moment
    from busfn.status import FunctionStats, ScaleDual
    from busfn.sync import Dual

P = ParamSpec("P")
R = TypeVar("R")
L_co = TypeVar("L_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Definition(Generic[L_co]):
    """What is known of a function that is defined in this process."""

    app: App
    raw: Callable[..., L_co]
    options: Options
    is_generator: bool


@dataclass(frozen=True, slots=True)
class Handle(Generic[L_co]):
    """What calls of a function need to know of it."""

    name: str
    homes: list[Home]
    """The app that it was defined on, and apps that include it; none any more when another function took its name."""
    definition: Definition[L_co] | None
    start: Start

    @property
    def home(self) -> Home:
        """Where it is called. Raises `InvalidError` for a function whose name another one was given since."""
        homes = self.homes
        if not homes:
            raise InvalidError(
                f"{self.name} was registered once more with another function, so calls by this handle would run that"
                " one: give each a name of its own with `@app.function(name=...)`"
            )
        return homes[0] if len(homes) == 1 else home_of(homes)

    @property
    def target(self) -> Target:
        """Where its calls go: code that a worker runs stays within the deployment that it belongs to."""
        return target_of(self.home)

    def connected(self) -> Client | None:
        """The client that its calls go over, if there is one."""
        home = self.home
        return home.binding.connected(home.named.app)


def target_of(home: Home) -> Target:
    """The address of a function in the app that serves it."""
    return Target(home.binding.app, home.named.function) if home.binding.app else home.named


class Function(Generic[P, R, L_co]):
    """A function that runs in workers.

    ``P`` are its parameters, ``R`` what a remote call returns (the item type of a generator), ``L_co`` what a local
    call returns (a coroutine for an async function).
    """

    def __init__(
        self, name: str, homes: list[Home], definition: Definition[L_co] | None = None, start: Start = AT_ONCE
    ) -> None:
        self._handle = Handle(name, homes, definition, start)
        self._calls: Calling[P, R] | None = None

    @classmethod
    def from_name(
        cls, app_name: str, name: str, *, version: int | None = None, environment_name: str | None = None
    ) -> Function[..., Any, Any]:
        """A handle for a function that is served on the configured bus; no I/O until it is used.

        ``version`` insists on a version of a deployed app, which is served beside the current one then.
        """
        validate_name(app_name, "app")
        if "." in name:
            raise InvalidError(f"{name!r} names a method of a class; look the class up instead")
        validate_function_name(name)
        token = app_name if version is None else pinned(app_name, version)
        return Function[..., Any, Any](name, [Home(DEFAULT.of(environment_name), Target(token, name))])

    def __repr__(self) -> str:
        if self._handle.definition is None:
            return f"busfn.Function.from_name({self._handle.target.app!r}, {self._handle.target.function!r})"
        return f"Function({self._handle.name})"

    def __reduce__(self) -> tuple[Any, ...]:
        home, target = self._handle.home, self._handle.target
        if self._handle.definition is not None and self._handle.connected() is None:
            raise InvalidError(f"{self!r} cannot be sent: it hasn't been hydrated (its app is not running)")
        env = home.binding.env if isinstance(home.binding, DefaultBinding) else None
        return look_up, (target.app, target.function, env)

    @property
    def _calling(self) -> Calling[P, R]:
        """Loaded with the first use: a program that only defines functions does not need the bus."""
        if self._calls is None:
            with FORKS.loading():
                from busfn.calling import Calling

            self._calls = Calling[P, R](self._handle, repr(self))
        return self._calls

    @property
    def name(self) -> str:
        """The name under which it is registered."""
        return self._handle.name

    @property
    def app_name(self) -> str:
        return self._handle.target.app

    @property
    def app(self) -> App | None:
        """The app it was defined on; None on a handle from `from_name`."""
        return self._handle.definition.app if self._handle.definition else None

    @property
    def is_generator(self) -> bool:
        """Whether it yields; a handle from `from_name` knows once it was hydrated, for deployed functions."""
        return self._calling.is_generator if self._handle.definition is None else self._handle.definition.is_generator

    @property
    def options(self) -> Options:
        """The decorator's options. Raises `ExecutionError` on a handle from `from_name`."""
        return self._defined("options").options

    @property
    def object_id(self) -> str:
        """The function's subject on the bus; `AttributeError` while the app is not running."""
        client, target = self._handle.connected(), self._handle.target
        if client is None:
            raise AttributeError(f"{self!r} has no object_id: it has not been hydrated")
        return client.link.subjects.function(target.app, target.function)

    @property
    def remote(self) -> Dual[P, R]:
        """Run it in a worker and wait for the result."""
        return self._calling.remote

    @property
    def remote_gen(self) -> StreamDual[P, R]:
        """Run a generator in a worker and iterate over its items while they are produced."""
        return self._calling.remote_gen

    @property
    def map(self) -> MapDual[R]:
        """Run it once for each input, in parallel: ``f.map(xs, ys, kwargs={}, order_outputs=True)``."""
        return self._calling.map(starred=False)

    @property
    def starmap(self) -> MapDual[R]:
        """`map` over one iterator whose elements are unpacked into positional arguments."""
        return self._calling.map(starred=True)

    @property
    def for_each(self) -> ForEachDual:
        """`map` for side effects: waits for all, keeps nothing; ``ignore_exceptions=True`` goes on after failures."""
        return self._calling.for_each

    @property
    def spawn(self) -> Dual[P, FunctionCall[R]]:
        """Hand a call over: on return it is stored and will be run, whatever becomes of us."""
        return self._calling.spawn

    @property
    def spawn_map(self) -> SpawnMapDual[R]:
        """Hand over a call with many inputs: ``f.spawn_map(xs, ys, kwargs={})``; on return all of them are stored."""
        return self._calling.spawn_map

    def with_options(
        self, *, delay: float = 0.0, at: Moment | None = None, idempotency_key: str = ""
    ) -> Function[P, R, L_co]:
        """A handle whose `spawn` starts later, or only once.

        ``delay`` is in seconds; ``at`` is a datetime (local time if it has no zone), a date, or unix seconds; neither
        may be over a year ahead. With an ``idempotency_key``, spawning again with the same key gives the first call.
        Raises `InvalidError`.
        """
        start = Start(delay=delay, at=at, idempotency_key=idempotency_key).check(time.time())
        handle = self._handle
        return Function[P, R, L_co](handle.name, handle.homes, handle.definition, start)

    @property
    def hydrate(self) -> Dual[[], Function[P, R, L_co]]:
        """Make sure that the handle can be used; returns the handle."""
        return self._calling.hydrate(self)

    @property
    def get_current_stats(self) -> Dual[[], FunctionStats]:
        """How busy the function is. Raises `NotFoundError` when no controller serves it."""
        return self._calling.get_current_stats

    @property
    def update_autoscaler(self) -> ScaleDual:
        """Scale differently until the next deploy or run: ``f.update_autoscaler(min_containers=2)``.

        Takes ``min_containers``, ``max_containers``, ``buffer_containers``, ``scaledown_window`` and
        ``target_inputs``; what is left out stays. Returns all that is set this way. Raises `InvalidError`.
        """
        return self._calling.update_autoscaler

    @property
    def get_web_url(self) -> Dual[[], str | None]:
        """The URL of a web function; None for all others."""
        return self._calling.get_web_url

    def local(self, /, *args: P.args, **kwargs: P.kwargs) -> L_co:
        """Call the function here, in this process and thread."""
        return self._defined("local").raw(*args, **kwargs)

    def get_raw_f(self) -> Callable[P, L_co]:
        """The very function that was decorated."""
        return cast(Callable[P, L_co], self._defined("get_raw_f").raw)

    if not TYPE_CHECKING:  # to a checker it is not callable: it shall find what always raises

        def __call__(self, /, *_args: object, **_kwargs: object) -> NoReturn:
            raise TypeError(
                f"'Function' object is not callable: use {self.name}.remote(...) to run it in a worker,"
                f" or {self.name}.local(...) to run it here"
            )

    @property
    def served_by(self) -> list[str]:
        """The apps that it is a function of: the one that it was defined on, and those that include it."""
        return [home.named.app for home in self._handle.homes]

    def define(self, homes: list[Home], definition: Definition[L_co]) -> None:
        """Make it known, for a handle that was restored empty."""
        self._handle, self._calls = Handle(self._handle.name, homes, definition, AT_ONCE), None

    def join(self, home: Home) -> None:
        """Another app serves the function, too."""
        self._handle.homes.append(home)

    def leave(self, binding: Binding) -> None:
        """An app serves another function under this one's name."""
        self._handle.homes[:] = [home for home in self._handle.homes if home.binding is not binding]

    def _defined(self, use: str) -> Definition[L_co]:
        if self._handle.definition is None:
            raise ExecutionError(
                f"{self!r}: the definition is missing here, so `.{use}` cannot work;"
                " use one of the remote invocation methods"
            )
        return self._handle.definition


def look_up(app_name: str, name: str, env: str | None = None) -> Function[..., Any, Any]:
    """`Function.from_name` for pickles: a plain function travels by reference, a class method as a copy of its code."""
    if is_run_token(app_name):
        run = Target(validate_token(app_name), validate_function_name(name))
        return Function[..., Any, Any](name, [Home(DEFAULT.of(env), run)])
    app, version = unpin(app_name)
    return Function.from_name(app, name, version=version or None, environment_name=env)


def is_generator_function(function: Callable[..., object]) -> bool:
    """Whether calling it gives a (sync or async) generator."""
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
