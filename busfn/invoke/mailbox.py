"""Hand-over from the loop thread to whoever consumes: a thread that blocks, or a coroutine of another loop."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from busfn.sync import LoopThread

T = TypeVar("T")


class Mailbox(Generic[T]):
    """An unbounded queue with one producer on the loop thread and one consumer anywhere."""

    def __init__(self, portal: LoopThread | None = None) -> None:
        self._portal = portal
        """Where the producer is; a forked child has none."""
        self._items: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._wake: Callable[[], object] | None = None

    def put(self, item: T) -> None:
        """Add an item; never blocks."""
        self._items.put(item)
        wake = self._wake
        if wake is not None:
            wake()

    def poll(self) -> T | None:
        """The next item if there is one now."""
        try:
            return self._items.get_nowait()
        except queue.Empty:
            return None

    def get(self) -> T:
        """The next item; blocks the thread."""
        self._check_producer()
        return self._items.get()

    async def aget(self) -> T:
        """The next item; suspends the coroutine."""
        self._check_producer()
        loop = asyncio.get_running_loop()
        while True:  # ends: with an item; the caller's wait
            arrived: asyncio.Future[None] = loop.create_future()
            self._wake = partial(_notify, loop, arrived)
            try:
                item = self.poll()
                if item is not None:
                    return item
                await arrived
            finally:
                self._wake = None

    def _check_producer(self) -> None:
        if self._portal is not None:
            self._portal.check_here()


def _notify(loop: asyncio.AbstractEventLoop, arrived: asyncio.Future[None]) -> None:
    try:
        loop.call_soon_threadsafe(_resolve, arrived)
    except RuntimeError:  # the consumer's loop is closed: nobody waits any more
        return


def _resolve(arrived: asyncio.Future[None]) -> None:
    if not arrived.done():
        arrived.set_result(None)
