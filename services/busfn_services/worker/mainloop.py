"""The worker's main thread: takes jobs from the loop thread and runs them until told to stop."""

from __future__ import annotations

import asyncio
import inspect
import signal

from busfn.invoke.mailbox import Mailbox
from busfn_services.worker.executor import Executor
from busfn_services.worker.forkguard import TIMEOUT_SIGNAL
from busfn_services.worker.generators import arun_generator, run_generator
from busfn_services.worker.job import Job
from busfn_services.worker.plain import arun_plain, run_plain
from busfn_services.worker.port import Port
from busfn_services.worker.tasks import Tasks


class Stop:
    """No more jobs will come."""


Jobs = Mailbox[Job | Stop]


def serve(executor: Executor, port: Port, jobs: Jobs) -> None:
    """Run jobs until `Stop`; must be called on the main thread, where signals arrive."""
    if inspect.iscoroutinefunction(executor.raw) or inspect.isasyncgenfunction(executor.raw):
        _serve_async(executor, port, jobs)
        return
    signal.signal(TIMEOUT_SIGNAL, lambda _number, _frame: executor.interrupt())
    run = run_generator if executor.spec.is_generator else run_plain
    while isinstance(job := jobs.get(), Job):
        run(executor, port, job)
        executor.guard.leave_if_child()


def _serve_async(executor: Executor, port: Port, jobs: Jobs) -> None:
    with asyncio.Runner(loop_factory=executor.guard.new_loop) as runner:
        loop = runner.get_loop()
        serving = loop.create_task(_run_all(executor, port, jobs))
        while not serving.done():
            try:
                loop.run_until_complete(serving)
            except (SystemExit, KeyboardInterrupt) as error:  # of a task that a body has started: nobody else's concern
                if executor.guard.is_child:
                    executor.guard.leave(error)
        serving.result()


async def _run_all(executor: Executor, port: Port, jobs: Jobs) -> None:
    tasks = Tasks(executor)
    asyncio.get_running_loop().add_signal_handler(TIMEOUT_SIGNAL, tasks.interrupt)
    run = arun_generator if executor.spec.is_generator else arun_plain
    while isinstance(job := await jobs.aget(), Job):
        await run(executor, port, job, tasks)
