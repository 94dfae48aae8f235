"""Blocking and async use of one implementation.

All I/O of a client happens on one event loop in one background thread. An operation is started from any thread and
gives a `concurrent.futures.Future` of a *thunk*: waiting for the future is the I/O, calling the thunk (decoding,
raising) is done on the thread of the one who waits, so no user code ever runs on the loop.
"""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Generic, ParamSpec, TypeVar

from busfn.errors import AsyncUsageWarning, ClientClosed

P = ParamSpec("P")
R = TypeVar("R")

Pending = Future[Callable[[], R]]


class LoopThread:
    """One event loop on one daemon thread; uvloop where it is installed."""

    def __init__(self, name: str = "busfn-io") -> None:
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def submit(self, work: Coroutine[Any, Any, R]) -> Future[R]:
        """Run a coroutine on the loop; callable from any other thread."""
        if self._loop.is_closed():
            work.close()
            raise ClientClosed("this busfn client is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine on the loop and wait for it."""
        return wait(self.submit(work))

    def call(self, callback: Callable[..., object], *args: object) -> None:
        """Call a plain function on the loop, soon; does nothing once the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # closed in between: whoever waits was failed by the close
            return

    def stop(self) -> None:
        """Cancel what is left, stop the loop and join the thread."""
        if self._loop.is_closed():
            return
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop of the fastest kind that is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def wait(future: Future[R]) -> R:
    """The future's result; an interrupted wait (Ctrl-C) cancels the operation."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def settled(value: R) -> Pending[R]:
    """An operation that had nothing to wait for."""
    done: Pending[R] = Future()
    done.set_result(lambda: value)
    return done


def running_loop() -> bool:
    """Whether the calling thread is inside a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def warn_if_blocking(operation: str) -> None:
    """Warn when a blocking operation is about to stop the event loop it is called from."""
    if running_loop():
        warnings.warn(
            f"`{operation}(...)` blocks the running event loop; write `await {operation}.aio(...)`",
            AsyncUsageWarning,
            stacklevel=3,
        )


class Dual(Generic[P, R]):
    """An operation that blocks when called, ``f.remote(1)``, and can be awaited, ``await f.remote.aio(1)``."""

    __slots__ = ("_name", "_start")

    def __init__(self, name: str, start: Callable[P, Pending[R]]) -> None:
        self._name = name
        self._start = start

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        warn_if_blocking(self._name)
        return wait(self._start(*args, **kwargs))()

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The same without blocking the event loop."""
        thunk = await asyncio.wrap_future(self._start(*args, **kwargs))
        return thunk()
