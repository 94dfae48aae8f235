"""Runs endless tasks so that none of them can end, or stand still, unseen.

An endless task is a `LoopTask`, and takes its turns from `turns` or `every`. What goes wrong with one item of a turn is
isolated (`isolated`): it is logged, a few times a minute, and the others are looked after. An unknown fault of the loop
itself is given to the exception handler of the event loop: in our services that ends the process, which its parent
starts again; in a user's process it is logged. `states` tells how late each loop is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

LIMIT = 30.0
"""Seconds that a turn may take, or be overdue, before its loop counts as late."""
SHOWN_FOR = 60.0
"""Seconds for which a fault of an item is reported."""
MAX_LOGGED = 5
"""Faults of items that are logged with their tracebacks in each `WINDOW`."""
WINDOW = 60.0
"""Seconds."""

Work = Coroutine[Any, Any, None]


class Faults:
    """Unexpected errors of single items: logged at a bounded rate, the last one remembered."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._window = 0.0
        self._logged = 0
        self._when = 0.0
        self._last = ""

    def note(self, item: str, error: BaseException) -> None:
        """Something went wrong with an item, which is left alone now."""
        now = time.monotonic()
        self._when, self._last = now, f"{item}: {type(error).__name__}: {error}"
        if now - self._window > WINDOW:
            left_out, self._window, self._logged = max(0, self._logged - MAX_LOGGED), now, 0
            if left_out:
                self._logger.error("%d more errors like those above were not logged", left_out)
        self._logged += 1
        if self._logged <= MAX_LOGGED:
            self._logger.error("%s: unexpected error", item, exc_info=error)

    @contextmanager
    def isolated(self, item: str) -> Generator[None, None, None]:
        """What is raised inside is noted, and goes no further."""
        try:
            yield
        except Exception as error:
            self.note(item, error)

    def recent(self, now: float) -> str:
        """The last one, while it is new."""
        return self._last if self._when and now - self._when < SHOWN_FOR else ""


class LoopTask(asyncio.Task[None]):
    """A task that is meant to run for as long as its owner; the owner cancels it."""

    def __init__(
        self,
        work: Work,
        name: str,
        item: str = "",
        *,
        faults: Faults,
        limit: float = LIMIT,
        on_fault: Callable[[Exception], object] | None = None,
    ) -> None:
        """``name`` is that of the loop, ``item`` tells several with one name apart.

        ``on_fault`` is called with what has ended the loop, where the process goes on.
        """
        super().__init__(work, loop=asyncio.get_running_loop(), name=f"{name} {item}".strip())
        self.kind = name
        self.limit = limit
        self.faults = faults
        self._on_fault = on_fault
        self._due: float | None = None
        """When (monotonic seconds) the next turn should have begun, or this one did; None while nothing is due."""
        self.add_done_callback(LoopTask._ended)

    def age(self, now: float) -> float:
        """Seconds that a turn has taken, or is overdue; 0 while the loop waits for something to happen."""
        return 0.0 if self._due is None else max(0.0, now - self._due)

    def turn(self) -> None:
        """A turn begins."""
        self._due = time.monotonic()

    def rest(self, seconds: float | None) -> None:
        """A turn has ended, and the next one is due in so many seconds; None for one that waits for an event."""
        self._due = None if seconds is None else time.monotonic() + seconds

    def _ended(self) -> None:
        error = None if self.cancelled() else self.exception()
        if error is None:
            return
        message = f"the loop {self.get_name()!r} has failed"
        self.get_loop().call_exception_handler({"message": message, "exception": error, "task": self})
        if self._on_fault is not None and isinstance(error, Exception):
            self._on_fault(error)


class Tasks:
    """The tasks of an owner: endless ones, and others whose faults are noted. Loop thread only."""

    def __init__(self, logger: logging.Logger) -> None:
        self.faults = Faults(logger)
        self._tasks: set[asyncio.Task[None]] = set()

    def loop(self, work: Work, name: str, item: str = "", *, limit: float = LIMIT) -> LoopTask:
        """Run something endless."""
        task = LoopTask(work, name, item, faults=self.faults, limit=limit)
        self._keep(task)
        return task

    def spawn(self, work: Work, item: str) -> asyncio.Task[None]:
        """Run something that ends; what it raises is noted."""
        task = asyncio.get_running_loop().create_task(work)
        self._keep(task)
        task.add_done_callback(partial(self._note, item))
        return task

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note(self, item: str, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.faults.note(item, error)

    async def cancel(self) -> None:
        """End all of them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Turns:
    """The turns of the loop that the current task is: ``async for _ in turns(...)``."""

    def __init__(self, wait: Callable[[], Awaitable[object]], seconds: float | None, *, at_once: bool) -> None:
        self._wait = wait
        self._seconds = seconds
        self._at_once = at_once
        task = asyncio.current_task()
        self._task = task if isinstance(task, LoopTask) else None

    def __aiter__(self) -> Turns:
        return self

    async def __anext__(self) -> None:
        if self._at_once:
            self._at_once = False
        else:
            if self._task is not None:
                self._task.rest(self._seconds)
            await self._wait()
        if self._task is not None:
            self._task.turn()


def turns(wait: Callable[[], Awaitable[object]], *, within: float | None = None, at_once: bool = True) -> Turns:
    """A turn now (unless not ``at_once``), and one whenever ``wait`` returns: ``within`` so many seconds, or however
    long that takes."""
    return Turns(wait, within, at_once=at_once)


def every(seconds: float, *, at_once: bool = True) -> Turns:
    """A turn now (unless not ``at_once``), and one ``seconds`` after the end of each."""
    return Turns(partial(asyncio.sleep, seconds), seconds, at_once=at_once)


@contextmanager
def isolated(item: str) -> Generator[None, None, None]:
    """Within a turn of a `LoopTask`: what is raised inside is noted, and goes no further."""
    task = asyncio.current_task()
    if isinstance(task, LoopTask):
        with task.faults.isolated(item):
            yield
    else:
        yield


@dataclass(frozen=True, slots=True)
class LoopState:
    """The loop that is worst off of those with one name."""

    name: str
    age: float
    limit: float
    fault: str


def states(now: float) -> list[LoopState]:
    """All loops of the running event loop, one for each name, those that are late first."""
    worst: dict[str, LoopState] = {}
    for task in _loops():
        state = LoopState(task.get_name(), task.age(now), task.limit, task.faults.recent(now))
        known = worst.get(task.kind)
        if known is None or _badness(state) > _badness(known):
            worst[task.kind] = state
    return sorted(worst.values(), key=lambda state: (_badness(state), state.name), reverse=True)


def _badness(state: LoopState) -> tuple[bool, bool, float]:
    return state.age > state.limit, bool(state.fault), state.age


def _loops() -> Iterable[LoopTask]:
    return (task for task in asyncio.all_tasks() if isinstance(task, LoopTask))
