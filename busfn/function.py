"""`Function`: the handle that ``@app.function()`` leaves in place of the function. It delegates; it decides nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from busfn.binding import DEFAULT, Binding
from busfn.call import FunctionCall
from busfn.client import Client
from busfn.context import current_input
from busfn.deployment import pinned, unpin
from busfn.errors import ExecutionError, InvalidError
from busfn.ids import call_id_of, new_call_id
from busfn.invoke.durable import CallRef
from busfn.invoke.link import Target
from busfn.invoke.streaming import Stream
from busfn.maps import MapDual, MapSource, for_each_dual
from busfn.operating import Operator
from busfn.protocol.arguments import pack_arguments
from busfn.protocol.codecs import Payload
from busfn.protocol.envelope import Call, call_scope
from busfn.protocol.subjects import validate_function_name, validate_name
from busfn.spawning import spawn_map_dual
from busfn.spec import Options, Start
from busfn.status import FunctionAutoscalerSettings, FunctionStats
from busfn.sync import Dual, Pending, settled, warn_if_blocking

if TYPE_CHECKING:
    from busfn.app import App

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
L_co = TypeVar("L_co", covariant=True)

DEEPEST = 100
"""Functions that may wait for one another before busfn calls it an endless recursion."""

AT_ONCE = Start()

EMPTY = Payload(content_type="", body=b"")


@dataclass(frozen=True, slots=True)
class Definition(Generic[L_co]):
    """What is known of a function that is defined in this process."""

    app: App
    raw: Callable[..., L_co]
    options: Options
    is_generator: bool


class Function(Generic[P, R, L_co]):
    """A function that runs in workers.

    ``P`` are its parameters, ``R`` what a remote call returns (the item type of a generator), ``L_co`` what a local
    call returns (a coroutine for an async function).
    """

    def __init__(
        self, target: Target, binding: Binding, definition: Definition[L_co] | None = None, start: Start = AT_ONCE
    ) -> None:
        self._named = target
        self._binding = binding
        self._definition = definition
        self._start = start
        self._looked_up_generator = False

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
        return Function[..., Any, Any](Target(token, name), DEFAULT.of(environment_name))

    def __repr__(self) -> str:
        if self._definition is None:
            return f"busfn.Function.from_name({self._target.app!r}, {self._target.function!r})"
        return f"Function({self._target.function})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._binding.client is None:
            raise InvalidError(f"{self!r} cannot be sent: it hasn't been hydrated (its app is not running)")
        return look_up, (self._target.app, self._target.function)

    @property
    def _target(self) -> Target:
        """Where its calls go: code that a worker runs stays within the deployment that it belongs to."""
        return Target(self._binding.app, self._named.function) if self._binding.app else self._named

    @property
    def name(self) -> str:
        """The name under which it is registered."""
        return self._named.function

    @property
    def app_name(self) -> str:
        return self._target.app

    @property
    def app(self) -> App | None:
        """The app it was defined on; None on a handle from `from_name`."""
        return self._definition.app if self._definition else None

    @property
    def is_generator(self) -> bool:
        """Whether it yields; a handle from `from_name` knows once it was hydrated, for deployed functions."""
        return self._definition.is_generator if self._definition is not None else self._looked_up_generator

    @property
    def options(self) -> Options:
        """The decorator's options. Raises `ExecutionError` on a handle from `from_name`."""
        return self._defined("options").options

    @property
    def object_id(self) -> str:
        """The function's subject on the bus; `AttributeError` while the app is not running."""
        if self._binding.client is None:
            raise AttributeError(f"{self!r} has no object_id: it has not been hydrated")
        return self._binding.client.link.subjects.function(self._target.app, self._target.function)

    @property
    def remote(self) -> Dual[P, R]:
        """Run it in a worker and wait for the result."""
        return Dual(f"{self.name}.remote", self._start_remote)

    @property
    def remote_gen(self) -> StreamDual[P, R]:
        """Run a generator in a worker and iterate over its items while they are produced."""
        return StreamDual(f"{self.name}.remote_gen", self._start_stream)

    @property
    def map(self) -> MapDual[R]:
        """Run it once for each input, in parallel: ``f.map(xs, ys, kwargs={}, order_outputs=True)``."""
        return MapDual(self._map_source("map"), starred=False)

    @property
    def starmap(self) -> MapDual[R]:
        """`map` over one iterator whose elements are unpacked into positional arguments."""
        return MapDual(self._map_source("starmap"), starred=True)

    @property
    def for_each(self) -> Dual[..., None]:
        """`map` for side effects: waits for all, keeps nothing; ``ignore_exceptions=True`` goes on after failures."""
        return for_each_dual(self._map_source("for_each"))

    @property
    def spawn(self) -> Dual[P, FunctionCall[R]]:
        """Hand a call over: on return it is stored and will be run, whatever becomes of us."""
        return Dual(f"{self.name}.spawn", self._start_spawn)

    @property
    def spawn_map(self) -> Dual[..., FunctionCall[R]]:
        """Hand over a call with many inputs: ``f.spawn_map(xs, ys, kwargs={})``; on return all of them are stored."""
        return spawn_map_dual(self._map_source("spawn_map"), self._binding)

    def with_options(
        self, *, delay: float = 0.0, at: dt.datetime | None = None, idempotency_key: str = ""
    ) -> Function[P, R, L_co]:
        """A handle whose `spawn` starts later, or only once.

        ``delay`` is in seconds; ``at`` is a moment. With an ``idempotency_key``, spawning again with the same key gives
        the first call. Raises `InvalidError`.
        """
        start = Start(delay=delay, at=at, idempotency_key=idempotency_key)
        return Function[P, R, L_co](self._named, self._binding, self._definition, start)

    @property
    def hydrate(self) -> Dual[[], Function[P, R, L_co]]:
        """Make sure that the handle can be used; returns the handle."""
        return Dual(f"{self.name}.hydrate", self._start_hydrate)

    @property
    def get_current_stats(self) -> Dual[[], FunctionStats]:
        """How busy the function is. Raises `NotFoundError` when no controller serves it."""
        return Dual(f"{self.name}.get_current_stats", self._start_stats)

    @property
    def update_autoscaler(self) -> Dual[..., FunctionAutoscalerSettings]:
        """Scale differently until the next deploy or run: ``f.update_autoscaler(min_containers=2)``.

        Takes ``min_containers``, ``max_containers``, ``buffer_containers``, ``scaledown_window`` and
        ``target_inputs``; what is left out stays. Returns all that is set this way. Raises `InvalidError`.
        """
        return Dual(f"{self.name}.update_autoscaler", self._start_scale)

    @property
    def get_web_url(self) -> Dual[[], str | None]:
        """The URL of a web function; None for all others."""
        return Dual(f"{self.name}.get_web_url", self._start_web_url)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> L_co:
        """Call the function here, in this process and thread."""
        return self._defined("local").raw(*args, **kwargs)

    def get_raw_f(self) -> Callable[P, L_co]:
        """The very function that was decorated."""
        return cast(Callable[P, L_co], self._defined("get_raw_f").raw)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        raise TypeError(
            f"'Function' object is not callable: use {self.name}.remote(...) to run it in a worker,"
            f" or {self.name}.local(...) to run it here"
        )

    def _defined(self, use: str) -> Definition[L_co]:
        if self._definition is None:
            raise ExecutionError(
                f"{self!r}: the definition is missing here, so `.{use}` cannot work;"
                " use one of the remote invocation methods"
            )
        return self._definition

    def _start_hydrate(self) -> Pending[Function[P, R, L_co]]:
        if self._definition is not None:
            return settled(self._binding.require(repr(self)).link.portal, self)

        async def work(operator: Operator) -> Function[P, R, L_co]:
            spec = await operator.exists(self._target)
            self._looked_up_generator = spec is not None and spec.is_generator
            return self

        return self._operate(work)

    def _start_stats(self) -> Pending[FunctionStats]:
        async def work(operator: Operator) -> FunctionStats:
            return (await operator.function(self._target)).stats

        return self._operate(work)

    def _start_scale(self, **change: Any) -> Pending[FunctionAutoscalerSettings]:
        async def work(operator: Operator) -> FunctionAutoscalerSettings:
            found = await operator.scale(self._target, change)
            known = FunctionAutoscalerSettings.__slots__
            return FunctionAutoscalerSettings(**{name: found[name] for name in known if name in found})

        return self._operate(work)

    def _start_web_url(self) -> Pending[str | None]:
        return settled(self._binding.require(repr(self)).link.portal, None)

    def _operate(self, work: Callable[[Operator], Coroutine[Any, Any, T]]) -> Pending[T]:
        client = self._binding.require(repr(self))

        async def run() -> Callable[[], T]:
            value = await work(Operator(client))
            return lambda: value

        return client.link.portal.submit(run())

    def _start_remote(self, *args: P.args, **kwargs: P.kwargs) -> Pending[R]:
        client = self._caller()
        if self.is_generator:
            raise InvalidError(f"{self.name} is a generator function: use `{self.name}.remote_gen(...)`")
        self._only_spawned()
        call = self._call(client, args, kwargs)
        if not call.path:
            return cast("Pending[R]", client.direct.start(self._target, call))
        client.link.waiting(1)  # before it is sent: whoever decides about a further worker shall know
        pending = client.direct.start(self._target, call)
        pending.watch(lambda: client.link.waiting(-1))
        return cast("Pending[R]", pending)

    def _start_spawn(self, *args: P.args, **kwargs: P.kwargs) -> Pending[FunctionCall[R]]:
        client = self._caller()
        if self.is_generator:
            raise InvalidError(f"Cannot `spawn` a generator function: nobody would take the items of {self.name}")
        call = self._call(client, args, kwargs)
        enqueue = client.durable.enqueue_once if self._start.idempotency_key else client.durable.enqueue
        handle = FunctionCall[R](CallRef(self._target, call.call), self._binding, 1)

        async def work() -> Callable[[], FunctionCall[R]]:
            await asyncio.gather(
                enqueue(self._target, call), client.durable.note_child(handle.ref, call.parent, call.path)
            )
            return lambda: handle

        return client.link.portal.submit(work())

    def _start_stream(self, *args: P.args, **kwargs: P.kwargs) -> Stream:
        client = self._caller()
        if self._definition is not None and not self.is_generator:
            raise InvalidError(f"{self.name} is not a generator function: use `{self.name}.remote(...)`")
        self._only_spawned()
        return Stream(client.board, self._target, self._call(client, args, kwargs))

    def _map_source(self, method: str) -> MapSource:
        if method != "spawn_map" or self._start.idempotency_key:
            self._only_spawned()
        alone = self._definition is not None and self._definition.options.single_use_containers
        return MapSource(f"{self.name}.{method}", self._target, self._map_client, self._new_call, chunked=not alone)

    def _only_spawned(self) -> None:
        if self._start != AT_ONCE:
            raise InvalidError(f"{self.name}: `delay`, `at` and `idempotency_key` are for `spawn`")

    def _map_client(self) -> Client:
        if self.is_generator:
            raise InvalidError(f"{self.name} is a generator function: a map cannot stream, use `remote_gen`")
        return self._caller()

    def _caller(self) -> Client:
        """The client, once what it will call is served."""
        client = self._binding.require(repr(self))
        if self._definition is None:
            client.pinning.hold(self._target.app)
        return client

    def _call(self, client: Client, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        call = self._call_id(client.link.ids)
        scope = call_scope(self._target.app, self._target.function, call)
        payload = client.link.codecs.encode(pack_arguments(args, kwargs), scope=scope, what="" if kwargs else "args")
        return self._made(call, payload)

    def _new_call(self) -> Call:
        return self._made(self._call_id(new_call_id), EMPTY)

    def _call_id(self, ids: Callable[[], str]) -> str:
        key = self._start.idempotency_key
        return call_id_of(self._target.label, key) if key else ids()

    def _made(self, call: str, payload: Payload) -> Call:
        current, not_before = current_input(), self._start.not_before(time.time())
        if current is None:
            return Call(call=call, payload=payload, not_before=not_before)
        self._check_recursion(current.path)
        parent, path = current.input_id, current.path
        return Call(call=call, payload=payload, not_before=not_before, parent=parent, path=path)

    def _check_recursion(self, path: tuple[str, ...]) -> None:
        """A call that waits for a worker which waits for the call would never end: refuse it here."""
        most = self._definition.options.scaling.max_containers if self._definition else None
        waiting = path.count(self._target.label)
        if most is not None and waiting >= most:
            raise ExecutionError(
                f"{self.name} is called from within itself, and all {most} workers that `max_containers` allows may be"
                f" waiting for this call; raise `max_containers` or call {self.name}.local(...)"
            )
        if len(path) >= DEEPEST:
            raise ExecutionError(f"{self.name}: {len(path)} calls wait for one another, this looks endless")


def look_up(app_name: str, name: str) -> Function[..., Any, Any]:
    """`Function.from_name` for pickles: a plain function travels by reference, a class method as a copy of its code."""
    app, version = unpin(app_name)
    return Function.from_name(app, name, version=version or None)


class StreamDual(Generic[P, R]):
    """``f.remote_gen(...)`` for threads and ``f.remote_gen.aio(...)`` for coroutines.

    Nothing is sent before the first item is asked for.
    """

    __slots__ = ("_name", "_start")

    def __init__(self, name: str, start: Callable[P, Stream]) -> None:
        self._name = name
        self._start = start

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Generator[R, None, None]:
        warn_if_blocking(self._name)
        return self._iterate(*args, **kwargs)

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[R, None]:
        """Items for ``async for``."""
        async for item in self._start(*args, **kwargs).aiterate():
            yield item

    def _iterate(self, *args: P.args, **kwargs: P.kwargs) -> Generator[R, None, None]:
        yield from self._start(*args, **kwargs).iterate()


def is_generator_function(function: Callable[..., object]) -> bool:
    """Whether calling it gives a (sync or async) generator."""
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
