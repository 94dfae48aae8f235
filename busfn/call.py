"""`FunctionCall`: a call that was handed over and lives on without us."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, cast

from busfn.binding import DEFAULT, Binding
from busfn.client import Client
from busfn.context import Nesting
from busfn.errors import InvalidError
from busfn.invoke.durable import FEW, PAGE, CallRef
from busfn.invoke.graph import InputInfo
from busfn.invoke.waits import NestedWait
from busfn.sync import Dual, Operation, Pending, warn_if_blocking

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

Page = list[Callable[[], R]]
"""Results of consecutive inputs, each decoded, or raised, when it is called."""


class GetDual(Protocol[R_co]):
    """``call.get(...)`` and ``await call.get.aio(...)``."""

    def __call__(self, timeout: float | None = None, *, index: int = 0) -> R_co: ...
    async def aio(self, timeout: float | None = None, *, index: int = 0) -> R_co:
        """The same without blocking the event loop."""
        ...


class CancelDual(Protocol):
    """``call.cancel(...)`` and ``await call.cancel.aio(...)``."""

    def __call__(self, *, terminate_containers: bool = False) -> None: ...
    async def aio(self, *, terminate_containers: bool = False) -> None:
        """The same without blocking the event loop."""
        ...


class FunctionCall(Generic[R]):
    """One durable call, with one input (`spawn`) or many (`spawn_map`).

    Its `object_id` is all that is needed to find it again, from any process, for seven days.
    """

    def __init__(
        self, ref: CallRef, binding: Binding, inputs: int | None = None, max_containers: int | None = None
    ) -> None:
        self._ref = ref
        self._binding = binding
        self._inputs = inputs
        self._max_containers = max_containers
        """Workers that its function may have, as far as that is known."""

    @classmethod
    def from_id(cls, object_id: str) -> FunctionCall[Any]:
        """The call with this id; no I/O. Raises `InvalidError` for what is no id."""
        return FunctionCall[Any](CallRef.parse(object_id), DEFAULT)

    def __repr__(self) -> str:
        return f"FunctionCall({self.object_id!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_id, (self.object_id,)

    @property
    def ref(self) -> CallRef:
        """The call, for `busfn.invoke`."""
        return self._ref

    @property
    def nesting(self) -> Nesting:
        """Told of waits for the call; for `iter`."""
        return self._client().link.nesting

    @property
    def object_id(self) -> str:
        """Finds the call again: ``FunctionCall.from_id(object_id)``."""
        return str(self._ref)

    @property
    def get(self) -> GetDual[R]:
        """The result: ``get(timeout=None, *, index=0)``. Can be repeated.

        Raises what the body raised; the builtin `TimeoutError` after ``timeout`` seconds; `OutputExpiredError` when the
        result is not kept any more; `RemoteError` when the call was cancelled; `ServiceError` with the worker's error
        while its function's workers fail to start: the call is still queued then, and `get` can be repeated.
        """
        return Dual("call.get", self._start_get)

    @property
    def num_inputs(self) -> Dual[[], int]:
        """How many inputs it has."""
        return Dual("call.num_inputs", self._start_num_inputs)

    @property
    def cancel(self) -> CancelDual:
        """Take its inputs out of the queue and stop those that run; whoever waits for it gets `RemoteError`.

        A body gets `InputCancellation` raised inside; ``cancel(terminate_containers=True)`` kills its worker instead.
        Harmless when the call has ended. Raises `NotFoundError` when nothing is known of it.
        """
        return Dual("call.cancel", self._start_cancel)

    @property
    def iter(self) -> ResultsDual[R]:
        """Results in order: ``for result in call.iter(start=0, end=None)``; the first failure is raised."""
        return ResultsDual(self)

    @property
    def get_call_graph(self) -> Dual[[], list[InputInfo]]:
        """Its inputs with their status, and below each the durable calls that it has spawned.

        Calls that a body made with `remote`, `map` or `remote_gen` leave nothing behind and are not shown, neither are
        more than a thousand inputs of one call. Raises `NotFoundError` when nothing is known of the call.
        """
        return Dual("call.get_call_graph", self._start_call_graph)

    @staticmethod
    def gather(*calls: FunctionCall[Any]) -> list[Any]:
        """The results of several calls, in their order; raises the first failure in that order."""
        warn_if_blocking("FunctionCall.gather")
        pending = [call._start_get() for call in calls]
        return [one.wait()() for one in pending]

    @staticmethod
    async def gather_aio(*calls: FunctionCall[Any]) -> list[Any]:
        """`gather` without blocking the event loop."""
        return list(await asyncio.gather(*(call.get.aio() for call in calls)))

    def _client(self) -> Client:
        return self._binding.require(repr(self), self._ref.target.app)

    def _submit(self, work: Callable[[Client], Coroutine[Any, Any, Callable[[], Any]]]) -> Operation[Callable[[], Any]]:
        client = self._client()
        return client.link.portal.submit(work(client))

    def _start_get(self, timeout: float | None = None, *, index: int = 0) -> Pending[R]:
        if timeout is not None and math.isnan(timeout):
            raise InvalidError("`timeout` must be a number of seconds, not nan")

        wait = self._wait() if timeout is None else None

        async def work(client: Client) -> Callable[[], R]:
            return cast("Callable[[], R]", await client.durable.result(self._ref, index, timeout, wait))

        return self._awaited(self._submit(work))

    def _wait(self) -> NestedWait | None:
        """A wait for it by the input that a worker runs; None outside a worker."""
        current = self.nesting.current()
        return None if current is None else NestedWait(self._ref.target, current, self._max_containers)

    def _awaited(self, pending: Operation[T]) -> Operation[T]:
        """Let a worker know that its body waits for another one."""
        self.nesting.begin()
        pending.watch(self.nesting.end)
        return pending

    def _start_num_inputs(self) -> Pending[int]:
        async def work(client: Client) -> Callable[[], int]:
            self._inputs = self._inputs or await client.durable.size(self._ref)
            return partial(int, self._inputs)

        return self._submit(work)

    def _start_cancel(self, *, terminate_containers: bool = False) -> Pending[None]:
        async def work(client: Client) -> Callable[[], None]:
            await client.durable.stop(self._ref, terminate=terminate_containers)
            return lambda: None

        return self._submit(work)

    def start_page(self, start: int, end: int, most: int) -> Pending[Page[R]]:
        """Ask for up to ``most`` results of consecutive inputs; for `iter`."""

        wait = self._wait()

        async def work(client: Client) -> Callable[[], Page[R]]:
            page = cast("Page[R]", await client.durable.page(self._ref, start, end, most, wait))
            return lambda: page

        return self._submit(work)

    def _start_call_graph(self) -> Pending[list[InputInfo]]:
        async def work(client: Client) -> Callable[[], list[InputInfo]]:
            await client.durable.standing(self._ref)
            graph = await client.graphs.of(self._ref.target, self._ref.call)
            return lambda: graph

        return self._submit(work)


class ResultsDual(Generic[R]):
    """``call.iter(...)`` and ``call.iter.aio(...)``."""

    __slots__ = ("_call",)

    def __init__(self, call: FunctionCall[R]) -> None:
        self._call = call

    def __call__(self, *, start: int = 0, end: int | None = None) -> Generator[R, None, None]:
        warn_if_blocking("call.iter")
        pages = _Pages(self._call, start, _last(start, end, self._call.num_inputs()))
        try:
            while (pending := pages.next()) is not None:
                with self._call.nesting:
                    page = pending.wait()
                for thunk in pages.take(page()):
                    yield thunk()
        finally:
            pages.abandon()

    async def aio(self, *, start: int = 0, end: int | None = None) -> AsyncGenerator[R, None]:
        """For ``async for``."""
        pages = _Pages(self._call, start, _last(start, end, await self._call.num_inputs.aio()))
        try:
            while (pending := pages.next()) is not None:
                with self._call.nesting:
                    page = await pending
                for thunk in pages.take(page()):
                    yield thunk()
        finally:
            pages.abandon()


class _Pages(Generic[R]):
    """Pages of results, each asked for while the one before is consumed.

    They grow as long as they come in full: results that are large, or not there yet, are asked for in small ones.
    """

    def __init__(self, call: FunctionCall[R], start: int, end: int) -> None:
        self._call = call
        self._start = start
        self._end = end
        self._most = 4 * FEW
        self._pending: Pending[Page[R]] | None = None
        self._ask()

    def next(self) -> Pending[Page[R]] | None:
        """The next page, None at the end."""
        return self._pending

    def take(self, page: Page[R]) -> Page[R]:
        """The page has arrived: ask for the one behind it."""
        self._start += len(page)
        self._most = min(PAGE, max(FEW, 2 * len(page)))
        self._ask()
        return page

    def abandon(self) -> None:
        """Nobody wants what was asked for."""
        if self._pending is not None:
            self._pending.cancel()

    def _ask(self) -> None:
        more = self._start < self._end
        self._pending = self._call.start_page(self._start, self._end, self._most) if more else None


def _last(start: int, end: int | None, inputs: int) -> int:
    if start < 0 or (end is not None and end > inputs):
        raise ValueError(f"the call has {inputs} inputs; {start} to {end} is not among them")
    return inputs if end is None else end


def _from_id(object_id: str) -> FunctionCall[Any]:
    return FunctionCall.from_id(object_id)
