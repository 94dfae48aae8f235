"""Runs plain functions, sync and async, one message at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextvars import copy_context

from busfn_services.worker.executor import Executor
from busfn_services.worker.job import Job
from busfn_services.worker.port import Port
from busfn_services.worker.runs import Run, run_of
from busfn_services.worker.tasks import Steps, Tasks


def run_plain(executor: Executor, port: Port, job: Job) -> None:
    """Run all inputs of a message that are not given away meanwhile."""
    begun, run = time.perf_counter(), run_of(executor, port, job)
    executor.take(job)
    inputs = _Inputs(executor, run)
    for offset in run.inputs():
        copy_context().run(inputs.run, offset)
    count, answers = run.finish()
    port.finish(job, executor.measured(time.perf_counter() - begun, count), *answers)


async def arun_plain(executor: Executor, port: Port, job: Job, tasks: Tasks) -> None:
    """`run_plain` for an async function."""
    begun, run = time.perf_counter(), run_of(executor, port, job)
    executor.take(job)
    inputs = _AsyncInputs(executor, run)
    while not inputs.over:  # ends: with the last input of the message
        await tasks.run(inputs.run_some())
    count, answers = run.finish()
    port.finish(job, executor.measured(time.perf_counter() - begun, count), *answers)


class _Inputs:
    """The inputs of one message for a sync body. The clock of each runs from before its arguments are decoded until its
    result is encoded."""

    def __init__(self, executor: Executor, run: Run) -> None:
        self._executor = executor
        self._message = run

    def run(self, offset: int) -> None:
        """One of them, in a context that has nothing of the others."""
        executor, run = self._executor, self._message
        try:
            try:
                executor.begin(offset)
                args, kwargs = run.arguments(offset)
                value = run.frozen(executor.raw(*args, **kwargs))
            finally:
                executor.end()
        except BaseException as error:
            run.failed(offset, executor.explained(error))
        else:
            run.succeeded(offset, value)


class _AsyncInputs:
    """The inputs of one message for an async body.

    One that has to wait keeps the task that it was started in. Those that never do share one, which saves most of what
    a short one costs.
    """

    def __init__(self, executor: Executor, run: Run) -> None:
        self._executor = executor
        self._message = run
        self._offsets: Iterator[int] = run.inputs()
        self.over = False

    async def run_some(self) -> None:
        """Inputs up to the first after which the task is not as it was."""
        task = asyncio.current_task()
        for offset in self._offsets:
            steps = Steps(copy_context(), self._run(offset))
            await steps
            if steps.waited or (task is not None and task.cancelling()):
                return
        self.over = True

    async def _run(self, offset: int) -> None:
        executor, run = self._executor, self._message
        try:
            try:
                executor.begin(offset)
                args, kwargs = run.arguments(offset)
                value = run.frozen(await executor.raw(*args, **kwargs))
            finally:
                executor.end()
        except BaseException as error:
            run.failed(offset, executor.explained(error))
        else:
            run.succeeded(offset, value)
