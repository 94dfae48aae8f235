"""What waits for answers from the bus: one request, or a batch of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from busfn.bus.frames import NO_RESPONDERS, Inbound
from busfn.errors import ConnectionError, Error, NoResponders

LATE = 0.5
"""Seconds after its time from which on a timer shows that the loop could not run."""
READ_UP = 1.0
"""Seconds for reading what has come meanwhile."""


class Waiting:
    """Something that waits for answers to a subject."""

    __slots__ = ("fragile", "subject")

    def __init__(self, subject: str, fragile: bool) -> None:
        self.subject = subject
        self.fragile = fragile
        """Fails as soon as the connection is lost."""

    def __call__(self, message: Inbound) -> None:
        """An answer."""
        raise NotImplementedError

    def fail(self, error: Error) -> None:
        """There will be no answer; harmless after one."""
        raise NotImplementedError


class Request(Waiting):
    """A request that waits for its answer."""

    __slots__ = ("each", "future")

    def __init__(
        self, subject: str, future: asyncio.Future[Inbound], fragile: bool, each: Callable[[Inbound], None] | None
    ) -> None:
        super().__init__(subject, fragile)
        self.future = future
        self.each = each

    def __call__(self, message: Inbound) -> None:
        if self.future.done():
            return
        if self.each is not None and not message.status:
            self.each(message)
        else:
            self.future.set_result(message)

    def fail(self, error: Error) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self, timeout: float) -> None:
        """Nothing came in ``timeout`` seconds."""
        self.fail(ConnectionError(f"no answer from {self.subject} within {timeout:g} s"))


class Batch:
    """Many requests and one future, which is done when all are answered."""

    def __init__(self, count: int, full: asyncio.Future[None]) -> None:
        self.answers: list[Inbound | Error | None] = [None] * count
        self.full = full
        self._left = count

    def put(self, number: int, answer: Inbound | Error) -> None:
        """The first answer to each counts."""
        if self.answers[number] is None:
            self.answers[number] = answer
            self._left -= 1
            if not self._left:
                self.close()

    def close(self) -> None:
        """Wait no longer."""
        if not self.full.done():
            self.full.set_result(None)


class Part(Waiting):
    """One request of a batch."""

    __slots__ = ("_batch", "_number")

    def __init__(self, subject: str, batch: Batch, number: int) -> None:
        super().__init__(subject, fragile=True)
        self._batch = batch
        self._number = number

    def __call__(self, message: Inbound) -> None:
        self._batch.put(
            self._number, NoResponders(f"nobody serves {self.subject}") if message.status == NO_RESPONDERS else message
        )

    def fail(self, error: Error) -> None:
        self._batch.put(self._number, error)


class Deadline:
    """Ends a wait after so many seconds; but when the loop could not run then, only after it has read what has come."""

    __slots__ = ("_due", "_end", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, end: Callable[[], None]) -> None:
        self._loop = loop
        self._end = end
        self._wait(seconds)

    def cancel(self) -> None:
        """The wait is over."""
        self._handle.cancel()

    def _wait(self, seconds: float) -> None:
        self._due = time.monotonic() + seconds
        self._handle = self._loop.call_later(seconds, self._fire)

    def _fire(self) -> None:
        if time.monotonic() - self._due > LATE:
            self._wait(READ_UP)
        else:
            self._end()
