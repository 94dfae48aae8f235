"""Runs plain functions, sync and async, one message at a time."""

from __future__ import annotations

import asyncio
import time

from busfn_services.worker.executor import Body, Executor, InputTimeout
from busfn_services.worker.job import Job
from busfn_services.worker.port import Port
from busfn_services.worker.runs import run_of


def run_plain(executor: Executor, port: Port, job: Job) -> None:
    """Run all inputs of a message that are not given away meanwhile."""
    raw = executor.raw
    run, body, begun = run_of(executor, port, job), Body(executor, job), time.perf_counter()
    for offset, (args, kwargs) in run.inputs():
        try:
            with body.at(offset):
                value = raw(*args, **kwargs)
            value = executor.refuse_unsendable(value)
        except BaseException as error:
            run.failed(offset, executor.explained(error))
        else:
            run.succeeded(offset, value)
    count, answers = run.finish()
    port.finish(job, executor.measured(time.perf_counter() - begun, count), *answers)


async def arun_plain(executor: Executor, port: Port, job: Job) -> None:
    """`run_plain` for an async function; a cancelled body is one that was over its time."""
    run, body, begun = run_of(executor, port, job), Body(executor, job), time.perf_counter()
    for offset, (args, kwargs) in run.inputs():
        try:
            with body.at(offset):
                value = executor.refuse_unsendable(await executor.raw(*args, **kwargs))
        except asyncio.CancelledError:
            run.failed(offset, executor.explained(InputTimeout()))
        except BaseException as error:
            run.failed(offset, executor.explained(error))
        else:
            run.succeeded(offset, value)
    count, answers = run.finish()
    port.finish(job, executor.measured(time.perf_counter() - begun, count), *answers)
