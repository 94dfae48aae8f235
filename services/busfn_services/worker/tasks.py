"""Tasks and contexts of async bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import suppress
from contextvars import Context
from typing import Any

from busfn_services.worker.executor import Executor


class Tasks:
    """Runs inputs in tasks of their own, of which a signal can cancel the last."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._task: asyncio.Task[None] | None = None

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it to its end. It tells by itself what has become of its inputs, also when somebody cancels it."""
        self._task = asyncio.create_task(work)
        with suppress(asyncio.CancelledError):
            await self._task

    def interrupt(self) -> None:
        """From the loop: cancel an input that is over its time or cancelled."""
        if self._task is not None and self._executor.interruption() is not None:
            self._task.cancel()


class Steps:
    """Awaits a coroutine with all its steps in one context, whatever the context of the task."""

    __slots__ = ("_context", "_coroutine", "waited")

    def __init__(self, context: Context, coroutine: Coroutine[Any, Any, None]) -> None:
        self._context = context
        self._coroutine = coroutine
        self.waited = False
        """It has given way to other tasks."""

    def __await__(self) -> Generator[Any, Any, None]:
        coroutine, run = self._coroutine, self._context.run
        try:
            waits_for = run(coroutine.send, None)
            while True:  # ends: with the coroutine
                self.waited = True
                try:
                    sent = yield waits_for
                except GeneratorExit:
                    run(coroutine.close)
                    raise
                except BaseException as error:
                    waits_for = run(coroutine.throw, error)
                else:
                    waits_for = run(coroutine.send, sent)
        except StopIteration:  # the coroutine has ended
            return
