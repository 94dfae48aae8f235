"""Runs generator functions, sync and async, one call at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextvars import copy_context
from typing import Any, cast

from busfn.errors import InvalidError
from busfn_services.worker.executor import Arguments, Executor
from busfn_services.worker.job import Job
from busfn_services.worker.outlet import Outlet, StreamClosed
from busfn_services.worker.port import Port
from busfn_services.worker.tasks import Tasks


def run_generator(executor: Executor, port: Port, job: Job) -> None:
    """Run a sync generator to its end, or until its consumer leaves; all its steps have one context."""
    run, begun = _Run(executor, port, job), time.perf_counter()
    if not job.take(1):  # it was given back
        port.finish(job, 0.0)
        return
    copy_context().run(run.run)
    port.finish(job, executor.measured(time.perf_counter() - begun, 1))


async def arun_generator(executor: Executor, port: Port, job: Job, tasks: Tasks) -> None:
    """Run an async generator to its end, or until its consumer leaves, in a task of its own."""
    run, begun = _Run(executor, port, job), time.perf_counter()
    if not job.take(1):  # it was given back
        port.finish(job, 0.0)
        return
    await tasks.run(run.arun())
    port.finish(job, executor.measured(time.perf_counter() - begun, 1))


class _Run:
    """One call of a generator function."""

    def __init__(self, executor: Executor, port: Port, job: Job) -> None:
        self._executor = executor
        self._port = port
        self._job = job
        self._outlet: Outlet = job.outlet or Outlet(executor.codecs, job.call, "")

    def run(self) -> None:
        try:
            try:
                args, kwargs = self._begin()
                self.drive(self.iterator(args, kwargs))
            finally:
                self._executor.end()
            self.end()
        except BaseException as error:
            self.fail(error)

    async def arun(self) -> None:
        try:
            try:
                args, kwargs = self._begin()
                await self.adrive(self.aiterator(args, kwargs))
            finally:
                self._executor.end()
            self.end()
        except BaseException as error:
            self.fail(error)

    def _begin(self) -> Arguments:
        """Its clock runs from before its arguments are decoded until its last item is encoded."""
        self._port.started(self._job, 1)
        self._executor.take(self._job)
        self._executor.begin(0)
        arguments = self._executor.arguments(self._job.call)
        self._job.decoded()
        return arguments

    def iterator(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
        value = self._executor.raw(*args, **kwargs)
        if not isinstance(value, Iterable):
            raise self._not_iterable(value)
        return iter(cast("Iterable[object]", value))

    def aiterator(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AsyncIterator[Any]:
        value = self._executor.raw(*args, **kwargs)
        if not isinstance(value, AsyncIterable):
            raise self._not_iterable(value)
        return aiter(cast("AsyncIterable[object]", value))

    def drive(self, iterator: Iterator[Any]) -> None:
        """Push every item; the body is closed, not abandoned, when the consumer leaves."""
        try:
            for item in iterator:
                self._executor.guard.leave_if_child()
                if not self._outlet.has_credit():
                    self._outlet.wait_for_credit()
                if self._outlet.push(item):
                    self._port.stream(self._job, self._outlet)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    async def adrive(self, iterator: AsyncIterator[Any]) -> None:
        try:
            async for item in iterator:
                self._executor.guard.leave_if_child()
                if not self._outlet.has_credit():
                    await asyncio.to_thread(self._outlet.wait_for_credit)
                if self._outlet.push(item):
                    self._port.stream(self._job, self._outlet)
        finally:
            aclose = getattr(iterator, "aclose", None)
            if aclose is not None:
                await aclose()

    def end(self) -> None:
        self._port.stream(self._job, self._outlet, self._outlet.end())

    def fail(self, error: BaseException) -> None:
        if isinstance(error, StreamClosed):
            return
        error = self._executor.explained(error)
        self._executor.verdict(self._job, 0, error)
        failure = self._executor.answers.failure(self._job.call, 0, error)
        self._port.stream(self._job, self._outlet, failure)

    def _not_iterable(self, value: object) -> InvalidError:
        return InvalidError(f"{self._executor.spec.label} is a generator function, but returned {type(value).__name__}")
