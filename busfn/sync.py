"""Blocking and async use of one implementation.

All I/O of a client happens on one event loop in one background thread. An operation is started from any thread and
gives an `Operation` of a *thunk*: waiting for it is the I/O, calling the thunk (decoding, raising) is done on the
thread of the one who waits, so no user code ever runs on the loop.
"""

from __future__ import annotations

import asyncio
import builtins
import inspect
import socket
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar, cast

from busfn.errors import AsyncUsageWarning, ClientClosed
from busfn.forks import silence

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Door:
    """Calls into an event loop from other threads: one wake-up of the loop for all that come before it looks.

    Each wake-up costs a system call and a fight for the interpreter's lock, more than a short call does otherwise.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._woken = False

    def call(self, callback: Callable[..., object], *args: object) -> None:
        """Call a plain function on the loop, soon, in the order of the calls; nothing happens once it is closed."""
        self._calls.append((callback, args))
        if self._woken:
            return
        self._woken = True
        try:
            self._loop.call_soon_threadsafe(self._run)
        except RuntimeError:  # closed in between: whoever waits was failed by the close
            return

    def close(self) -> None:
        """Wake the loop no more."""
        self._woken = True

    def _run(self) -> None:
        self._woken = False  # first: what is added from now on wakes the loop again
        for _ in range(len(self._calls)):
            callback, args = self._calls.popleft()
            try:
                callback(*args)
            except Exception as error:
                self._loop.call_exception_handler({"message": f"{callback!r} failed", "exception": error})


class LoopThread:
    """One event loop on one daemon thread; uvloop where it is installed."""

    def __init__(self, name: str = "busfn-io") -> None:
        self._loop = new_loop()
        self._door = Door(self._loop)
        self._doors: dict[asyncio.AbstractEventLoop, Door] = {}
        self._left = False
        """This process is a child of the one that the thread runs in."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def submit(self, work: Coroutine[Any, Any, T]) -> Operation[T]:
        """Run a coroutine on the loop; callable from any other thread."""
        if self._left or self._loop.is_closed():
            work.close()
            self.check_here()
            raise ClientClosed("this busfn client is closed")
        operation = Operation[T](self)
        self.call(self._begin, operation, work)
        return operation

    def _begin(self, operation: Operation[T], work: Coroutine[Any, Any, T]) -> None:
        if operation.over:
            work.close()
            return
        task = self._loop.create_task(work)
        task.add_done_callback(partial(_finish, operation))
        operation.watch(partial(self._abandon, operation, task))

    def _abandon(self, operation: Operation[T], task: asyncio.Task[T]) -> None:
        if operation.cancelled:
            self.call(task.cancel)

    def check_here(self) -> None:
        """Raise `ClientClosed` in a forked child, where nothing that was begun before the fork will ever end."""
        if self._left:
            raise ClientClosed(
                "this was begun before the process was forked, and goes on in its parent: call it anew in the child"
            )

    def abandon(self) -> None:
        """In a forked child: the thread is the parent's. To the kernel, what the loop selects with is so, too."""
        self._left = True
        self._door.close()
        if not self._loop.is_closed():
            silence(_descriptors(self._loop))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it."""
        return self.submit(work).wait()

    def call(self, callback: Callable[..., object], *args: object) -> None:
        """Call a plain function on the loop, soon; does nothing once the loop is closed."""
        self._door.call(callback, *args)

    def door(self, loop: asyncio.AbstractEventLoop) -> Door:
        """The way into the event loop of somebody who awaits an operation."""
        door = self._doors.get(loop)
        if door is None:
            open_ones = {other: door for other, door in self._doors.copy().items() if not other.is_closed()}
            door = Door(loop)
            self._doors = {**open_ones, loop: door}
        return door

    def stop(self) -> None:
        """Cancel what is left, stop the loop and join the thread."""
        if self._loop.is_closed():
            return
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Operation(Generic[T]):
    """What a loop thread does for somebody: `wait` for it in a thread, or await it on any event loop.

    Like a `concurrent.futures.Future`, which costs three times as much and wakes the awaiting loop for each result.
    """

    __slots__ = ("_ends", "_portal", "_watchers")

    def __init__(self, portal: LoopThread) -> None:
        self._portal = portal
        self._ends: list[tuple[T | None, BaseException | None]] = []
        """The first one counts: threads may end it at the same time."""
        self._watchers: list[Callable[[], object]] = []

    @property
    def over(self) -> bool:
        return bool(self._ends)

    @property
    def cancelled(self) -> bool:
        """Whoever waited has given up."""
        return bool(self._ends) and isinstance(self._ends[0][1], asyncio.CancelledError)

    def succeed(self, value: T) -> None:
        """End it with a value; harmless after the end."""
        self._end(value, None)

    def fail(self, error: BaseException) -> None:
        """End it with an error; harmless after the end."""
        self._end(None, error)

    def cancel(self) -> None:
        """Nobody wants it any more; harmless after the end."""
        self._end(None, asyncio.CancelledError())

    def _end(self, value: T | None, error: BaseException | None) -> None:
        self._ends.append((value, error))
        self._tell()

    def watch(self, callback: Callable[[], object]) -> None:
        """Call something at the end, in the thread that ends it; at once when it is over."""
        self._watchers.append(callback)
        if self._ends:
            self._tell()

    def _tell(self) -> None:
        while True:
            try:
                watcher = self._watchers.pop(0)
            except IndexError:  # none left, or another thread was faster
                return
            watcher()

    def wait(self) -> T:
        """The value; blocks the thread. An interrupted wait (Ctrl-C) cancels the operation."""
        if not self._ends:
            self._portal.check_here()
            lock = threading.Lock()
            lock.acquire()
            self.watch(lock.release)
            try:
                lock.acquire()
            except BaseException:
                self.cancel()
                raise
        return self._value()

    def __await__(self) -> Generator[Any, None, T]:
        """The value; a cancelled await cancels the operation."""
        if not self._ends:
            self._portal.check_here()
            loop = asyncio.get_running_loop()
            arrived: asyncio.Future[None] = loop.create_future()
            self.watch(partial(self._portal.door(loop).call, _arrive, arrived))
            try:
                yield from arrived
            except BaseException:
                self.cancel()
                raise
        return self._value()

    def _value(self) -> T:
        value, error = self._ends[0]
        if error is not None:
            raise error
        return cast(T, value)


Pending = Operation[Callable[[], R]]


def _arrive(arrived: asyncio.Future[None]) -> None:
    if not arrived.done():
        arrived.set_result(None)


def _finish(operation: Operation[T], task: asyncio.Task[T]) -> None:
    if task.cancelled():  # by the waiter, whose word came first, or by the end of the loop
        operation.fail(ClientClosed("the busfn client was closed while this operation was under way"))
    elif (error := task.exception()) is not None:
        operation.fail(error)
    else:
        operation.succeed(task.result())


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop of the fastest kind that is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _descriptors(loop: asyncio.AbstractEventLoop) -> Iterator[int]:
    """What a loop of asyncio or uvloop waits with, and is woken by."""
    selector, backend = getattr(loop, "_selector", None), getattr(loop, "_get_backend_id", None)
    if selector is not None:
        yield selector.fileno()
    elif backend is not None:
        yield backend()
    for sock in (getattr(loop, "_ssock", None), getattr(loop, "_csock", None)):
        if isinstance(sock, socket.socket):
            yield sock.fileno()


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def settled(portal: LoopThread, value: R) -> Pending[R]:
    """An operation that had nothing to wait for."""
    done: Pending[R] = Operation(portal)
    done.succeed(lambda: value)
    return done


def running_loop() -> bool:
    """Whether the calling thread is inside a running event loop that it should not block.

    The cells of a notebook run inside the loop of their kernel, and block it whatever they do.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return not ("ipykernel" in sys.modules and hasattr(builtins, "__IPYTHON__"))


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

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        warn_if_blocking(self._name)
        try:
            pending = self._start(*args, **kwargs)
        except TypeError as error:
            raise _explained(error, self._name, self._start, args, kwargs) from None
        return pending.wait()()

    async def aio(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """The same without blocking the event loop."""
        try:
            pending = self._start(*args, **kwargs)
        except TypeError as error:
            raise _explained(error, self._name, self._start, args, kwargs) from None
        return (await pending)()


def _explained(error: TypeError, name: str, start: Callable[..., object], args: Any, kwargs: Any) -> TypeError:
    """The error in terms of the method that was called, if its arguments do not fit."""
    try:
        inspect.signature(start).bind(*args, **kwargs)
    except TypeError as unfit:
        return TypeError(f"{name}() {unfit}")
    return error
