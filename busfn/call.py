"""`FunctionCall`: a call that was handed over and lives on without us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar, cast

from busfn.binding import DEFAULT, Binding
from busfn.client import Client
from busfn.invoke.durable import CallRef
from busfn.sync import Dual, Pending, wait, warn_if_blocking

R = TypeVar("R")


class FunctionCall(Generic[R]):
    """One durable call, with one input (`spawn`) or many (`spawn_map`).

    Its `object_id` is all that is needed to find it again, from any process, for seven days.
    """

    def __init__(self, ref: CallRef, binding: Binding, inputs: int | None = None) -> None:
        self._ref = ref
        self._binding = binding
        self._inputs = inputs

    @classmethod
    def from_id(cls, object_id: str) -> FunctionCall[Any]:
        """The call with this id; no I/O. Raises `InvalidError` for what is no id."""
        return FunctionCall[Any](CallRef.parse(object_id), DEFAULT)

    def __repr__(self) -> str:
        return f"FunctionCall({self.object_id!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_id, (self.object_id,)

    @property
    def object_id(self) -> str:
        """Finds the call again: ``FunctionCall.from_id(object_id)``."""
        return str(self._ref)

    @property
    def get(self) -> Dual[..., R]:
        """The result: ``get(timeout=None, *, index=0)``. Can be repeated.

        Raises what the body raised; the builtin `TimeoutError` after ``timeout`` seconds; `OutputExpiredError` when the
        result is not kept any more; `RemoteError` when the call was cancelled.
        """
        return Dual("call.get", self._start_get)

    @property
    def num_inputs(self) -> Dual[[], int]:
        """How many inputs it has."""
        return Dual("call.num_inputs", self._start_num_inputs)

    @property
    def cancel(self) -> Dual[..., None]:
        """Take its inputs out of the queue and stop those that run; whoever waits for it gets `RemoteError`.

        A body gets `InputCancellation` raised inside; ``cancel(terminate_containers=True)`` kills its worker instead.
        """
        return Dual("call.cancel", self._start_cancel)

    @property
    def iter(self) -> ResultsDual[R]:
        """Results in order: ``for result in call.iter(start=0, end=None)``; the first failure is raised."""
        return ResultsDual(self)

    @staticmethod
    def gather(*calls: FunctionCall[Any]) -> list[Any]:
        """The results of several calls, in their order; raises the first failure in that order."""
        warn_if_blocking("FunctionCall.gather")
        pending = [call._start_get() for call in calls]
        return [wait(one)() for one in pending]

    @staticmethod
    async def gather_aio(*calls: FunctionCall[Any]) -> list[Any]:
        """`gather` without blocking the event loop."""
        return list(await asyncio.gather(*(call.get.aio() for call in calls)))

    def _client(self) -> Client:
        return self._binding.require(repr(self))

    def _submit(self, work: Callable[[Client], Coroutine[Any, Any, Callable[[], Any]]]) -> Future[Callable[[], Any]]:
        client = self._client()
        return client.link.portal.submit(work(client))

    def _start_get(self, timeout: float | None = None, *, index: int = 0) -> Pending[R]:
        async def work(client: Client) -> Callable[[], R]:
            return cast("Callable[[], R]", await client.durable.result(self._ref, index, timeout))

        return self._submit(work)

    def _start_num_inputs(self) -> Pending[int]:
        async def work(client: Client) -> Callable[[], int]:
            self._inputs = self._inputs or await client.durable.size(self._ref)
            return partial(int, self._inputs)

        return self._submit(work)

    def _start_cancel(self, *, terminate_containers: bool = False) -> Pending[None]:
        async def work(client: Client) -> Callable[[], None]:
            await client.durable.cancel(self._ref, terminate=terminate_containers)
            return lambda: None

        return self._submit(work)

    def _start_page(self, start: int, end: int) -> Pending[list[Callable[[], R]]]:
        async def work(client: Client) -> Callable[[], list[Callable[[], R]]]:
            page = cast("list[Callable[[], R]]", await client.durable.page(self._ref, start, end))
            return lambda: page

        return self._submit(work)


class ResultsDual(Generic[R]):
    """``call.iter(...)`` and ``call.iter.aio(...)``."""

    __slots__ = ("_call",)

    def __init__(self, call: FunctionCall[R]) -> None:
        self._call = call

    def __call__(self, *, start: int = 0, end: int | None = None) -> Generator[R, None, None]:
        warn_if_blocking("call.iter")
        last = _last(start, end, self._call.num_inputs())
        while start < last:
            page = wait(self._call._start_page(start, last))()  # pyright: ignore[reportPrivateUsage]
            start += len(page)
            for thunk in page:
                yield thunk()

    async def aio(self, *, start: int = 0, end: int | None = None) -> AsyncGenerator[R, None]:
        """For ``async for``."""
        last = _last(start, end, await self._call.num_inputs.aio())
        while start < last:
            pending = self._call._start_page(start, last)  # pyright: ignore[reportPrivateUsage]
            page = (await asyncio.wrap_future(pending))()
            start += len(page)
            for thunk in page:
                yield thunk()


def _last(start: int, end: int | None, inputs: int) -> int:
    if start < 0 or (end is not None and end > inputs):
        raise ValueError(f"the call has {inputs} inputs; {start} to {end} is not among them")
    return inputs if end is None else end


def _from_id(object_id: str) -> FunctionCall[Any]:
    return FunctionCall.from_id(object_id)
