"""What a function's methods do when they are used; loaded with the first use, as it brings the bus along."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from busfn.call import FunctionCall
from busfn.client import Client
from busfn.errors import ExecutionError, InvalidError
from busfn.ids import call_id_of, new_call_id
from busfn.invoke.durable import CallRef
from busfn.invoke.link import endless
from busfn.invoke.payloads import SPILL
from busfn.invoke.streaming import Stream
from busfn.maps import ForEachDual, MapDual, MapSource
from busfn.operating import Operator
from busfn.protocol.arguments import pack_arguments
from busfn.protocol.border import CallId
from busfn.protocol.codecs import Payload
from busfn.protocol.envelope import Call, call_scope
from busfn.protocol.names import Target
from busfn.spawning import SpawnMapDual
from busfn.spec import AT_ONCE
from busfn.status import FunctionAutoscalerSettings, FunctionStats, ScaleDual
from busfn.sync import Dual, Pending, settled, warn_if_blocking

if TYPE_CHECKING:
    from busfn.function import Handle

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

DEEPEST = 100
"""Functions that may wait for one another before busfn calls it an endless recursion."""

EMPTY = Payload(content_type="", body=b"")


class Calling(Generic[P, R]):
    """Starts the calls of one function, and answers questions about it."""

    def __init__(self, handle: Handle[Any], what: str) -> None:
        self._handle = handle
        self._what = what
        self._name = handle.name
        self._at_once = handle.start == AT_ONCE
        self._looked_up_generator = False

    @cached_property
    def remote(self) -> Dual[P, R]:
        return Dual(f"{self._name}.remote", self._start_remote)

    @property
    def remote_gen(self) -> StreamDual[P, R]:
        return StreamDual(f"{self._name}.remote_gen", self._start_stream)

    def map(self, *, starred: bool) -> MapDual[R]:
        """`map`, or `starmap`, whose inputs are tuples of arguments."""
        return MapDual(self._map_source("starmap" if starred else "map"), starred=starred)

    @property
    def for_each(self) -> ForEachDual:
        return ForEachDual(self._map_source("for_each"))

    @property
    def spawn(self) -> Dual[P, FunctionCall[R]]:
        return Dual(f"{self._name}.spawn", self._start_spawn)

    @property
    def spawn_map(self) -> SpawnMapDual[R]:
        return SpawnMapDual(self._map_source("spawn_map"), self._handle.home.binding, self._max_containers)

    def hydrate(self, function: T) -> Dual[[], T]:
        """Makes sure that ``function``, whose calls these are, can be used, and gives it."""
        return Dual(f"{self._name}.hydrate", lambda: self._start_hydrate(function))

    @property
    def get_current_stats(self) -> Dual[[], FunctionStats]:
        return Dual(f"{self._name}.get_current_stats", self._start_stats)

    @property
    def update_autoscaler(self) -> ScaleDual:
        return Dual(f"{self._name}.update_autoscaler", self._start_scale)

    @property
    def get_web_url(self) -> Dual[[], str | None]:
        return Dual(f"{self._name}.get_web_url", self._start_web_url)

    @property
    def is_generator(self) -> bool:
        """Whether it yields, as far as is known."""
        definition = self._handle.definition
        return definition.is_generator if definition is not None else self._looked_up_generator

    def _start_hydrate(self, function: T) -> Pending[T]:
        if self._handle.definition is not None:
            return settled(self._client().link.portal, function)

        async def work(operator: Operator) -> T:
            spec = await operator.exists(self._handle.target)
            self._looked_up_generator = spec is not None and spec.is_generator
            return function

        return self._operate(work)

    def _start_stats(self) -> Pending[FunctionStats]:
        async def work(operator: Operator) -> FunctionStats:
            return (await operator.function(self._handle.target)).stats

        return self._operate(work)

    def _start_scale(self, /, **change: Any) -> Pending[FunctionAutoscalerSettings]:
        async def work(operator: Operator) -> FunctionAutoscalerSettings:
            found = await operator.scale(self._handle.target, change)
            known = FunctionAutoscalerSettings.__slots__
            return FunctionAutoscalerSettings(**{name: found[name] for name in known if name in found})

        return self._operate(work)

    def _start_web_url(self) -> Pending[str | None]:
        return settled(self._client().link.portal, None)

    def _operate(self, work: Callable[[Operator], Coroutine[Any, Any, T]]) -> Pending[T]:
        client = self._client()

        async def run() -> Callable[[], T]:
            value = await work(Operator(client))
            return lambda: value

        return client.link.portal.submit(run())

    def _start_remote(self, /, *args: P.args, **kwargs: P.kwargs) -> Pending[R]:
        client = self._caller()
        if self.is_generator:
            raise InvalidError(f"{self._name} is a generator function: use `{self._name}.remote_gen(...)`")
        self._only_spawned()
        target = self._handle.target
        call = self._call(client, target, args, kwargs)
        if not call.path:
            return cast("Pending[R]", client.direct.start(target, call))
        client.link.nesting.begin()  # before it is sent: whoever decides about a further worker shall know
        pending = client.direct.start(target, call)
        pending.watch(client.link.nesting.end)
        return cast("Pending[R]", pending)

    def _start_spawn(self, /, *args: P.args, **kwargs: P.kwargs) -> Pending[FunctionCall[R]]:
        client = self._caller()
        if self.is_generator:
            raise InvalidError(f"Cannot `spawn` a generator function: nobody would take the items of {self._name}")
        target = self._handle.target
        call = self._call(client, target, args, kwargs, awaited=False)
        enqueue = client.durable.enqueue_once if self._handle.start.idempotency_key else client.durable.enqueue
        handle = FunctionCall[R](CallRef(target, call.call), self._handle.home.binding, 1, self._max_containers)
        parent = client.link.nesting.current()

        async def work() -> Callable[[], FunctionCall[R]]:
            await asyncio.gather(enqueue(target, call), client.durable.note_child(handle.ref, parent))
            return lambda: handle

        return client.link.portal.submit(work())

    def _start_stream(self, /, *args: P.args, **kwargs: P.kwargs) -> Stream:
        client = self._caller()
        if self._handle.definition is not None and not self.is_generator:
            raise InvalidError(f"{self._name} is not a generator function: use `{self._name}.remote(...)`")
        self._only_spawned()
        target = self._handle.target
        return Stream(client.board, target, self._call(client, target, args, kwargs))

    def _map_source(self, method: str) -> MapSource:
        if method != "spawn_map" or self._handle.start.idempotency_key:
            self._only_spawned()
        alone = self._handle.definition is not None and self._handle.definition.options.single_use_containers
        new_call = partial(self._new_call, awaited=method != "spawn_map")
        return MapSource(f"{self._name}.{method}", self._handle.target, self._map_client, new_call, chunked=not alone)

    def _only_spawned(self) -> None:
        if not self._at_once:
            raise InvalidError(f"{self._name}: `delay`, `at` and `idempotency_key` are for `spawn`")

    def _map_client(self) -> Client:
        if self.is_generator:
            raise InvalidError(f"{self._name} is a generator function: a map cannot stream, use `remote_gen`")
        return self._caller()

    def _client(self) -> Client:
        home = self._handle.home
        return home.binding.require(self._what, home.named.app)

    def _caller(self) -> Client:
        """The client, once what it will call is known. Raises `NotFoundError`."""
        client = self._client()
        if self._handle.definition is None:
            target = self._handle.target
            client.pinning.hold(target.app)
            client.known.require(target)
        return client

    def _call(
        self, client: Client, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], *, awaited: bool = True
    ) -> Call:
        call = self._call_id(client.link.ids)
        scope = call_scope(target.app, target.function, call)
        payload = client.link.codecs.encode(
            pack_arguments(args, kwargs), scope=scope, what="" if kwargs else "args", apart=SPILL
        )
        return self._made(client, call, payload, awaited=awaited)

    def _new_call(self, client: Client, *, awaited: bool) -> Call:
        return self._made(client, self._call_id(new_call_id), EMPTY, awaited=awaited)

    def _call_id(self, ids: Callable[[], CallId]) -> CallId:
        key = self._handle.start.idempotency_key
        return call_id_of(self._handle.target.label, key) if key else ids()

    def _made(self, client: Client, call: CallId, payload: Payload, *, awaited: bool) -> Call:
        """The call; one that is ``awaited`` knows the functions whose workers wait for it."""
        current, not_before = (
            client.link.nesting.current(),
            0 if self._at_once else self._handle.start.not_before(time.time()),
        )
        if current is None:
            return Call(call=call, payload=payload, not_before=not_before)
        path = current.path if awaited else ()
        self._check_recursion(path)
        return Call(call=call, payload=payload, not_before=not_before, parent=current.input_id, path=path)

    @property
    def _max_containers(self) -> int | None:
        """Workers that the function may have, as far as that is known."""
        definition = self._handle.definition
        return definition.options.scaling.max_containers if definition is not None else None

    def _check_recursion(self, path: tuple[str, ...]) -> None:
        """A call that waits for a worker which waits for the call would never end: refuse it here."""
        target = self._handle.target
        if refusal := endless(target, path, self._max_containers):
            raise refusal
        if len(path) >= DEEPEST:
            raise ExecutionError(f"{self._name}: {len(path)} calls wait for one another, this looks endless")


class StreamDual(Generic[P, R]):
    """``f.remote_gen(...)`` for threads and ``f.remote_gen.aio(...)`` for coroutines.

    Nothing is sent before the first item is asked for.
    """

    __slots__ = ("_name", "_start")

    def __init__(self, name: str, start: Callable[P, Stream]) -> None:
        self._name = name
        self._start = start

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Generator[R, None, None]:
        warn_if_blocking(self._name)
        return self._iterate(*args, **kwargs)

    async def aio(self, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[R, None]:
        """Items for ``async for``."""
        async for item in self._start(*args, **kwargs).aiterate():
            yield item

    def _iterate(self, /, *args: P.args, **kwargs: P.kwargs) -> Generator[R, None, None]:
        yield from self._start(*args, **kwargs).iterate()
