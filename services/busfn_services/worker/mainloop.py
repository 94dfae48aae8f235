"""The worker's main thread: takes jobs from the loop thread and runs them until told to stop."""

from __future__ import annotations

import asyncio
import inspect
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from busfn.invoke.mailbox import Mailbox
from busfn_services.worker.executor import Executor
from busfn_services.worker.forkguard import TIMEOUT_SIGNAL
from busfn_services.worker.generators import arun_generator, run_generator
from busfn_services.worker.job import Job
from busfn_services.worker.plain import arun_plain, run_plain
from busfn_services.worker.port import Port


class Stop:
    """No more jobs will come."""


Jobs = Mailbox[Job | Stop]
AsyncRunner = Callable[[Executor, Port, Job], Coroutine[Any, Any, None]]


def serve(executor: Executor, port: Port, jobs: Jobs) -> None:
    """Run jobs until `Stop`; must be called on the main thread, where signals arrive."""
    if inspect.iscoroutinefunction(executor.raw) or inspect.isasyncgenfunction(executor.raw):
        with asyncio.Runner(loop_factory=executor.guard.new_loop) as runner:
            runner.run(_serve_async(executor, port, jobs))
        return
    signal.signal(TIMEOUT_SIGNAL, lambda _number, _frame: executor.interrupt())
    run = run_generator if executor.spec.is_generator else run_plain
    while isinstance(job := jobs.get(), Job):
        run(executor, port, job)
        executor.guard.leave_if_child()


async def _serve_async(executor: Executor, port: Port, jobs: Jobs) -> None:
    current = _Current(executor)
    asyncio.get_running_loop().add_signal_handler(TIMEOUT_SIGNAL, current.interrupt)
    run = arun_generator if executor.spec.is_generator else arun_plain
    while isinstance(job := await jobs.aget(), Job):
        await current.run(run, port, job)


class _Current:
    """The task of the job that runs, so that a signal can cancel it."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._task: asyncio.Task[None] | None = None

    async def run(self, run: AsyncRunner, port: Port, job: Job) -> None:
        self._task = asyncio.ensure_future(run(self._executor, port, job))
        await self._task

    def interrupt(self) -> None:
        if self._task is not None and self._executor.interruption() is not None:
            self._task.cancel()
