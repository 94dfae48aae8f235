"""The inputs of one message, one after the other, and their answers; how an input is called is left to the driver."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from busfn.errors import Error, InvalidError
from busfn.protocol.arguments import Inputs
from busfn.protocol.envelope import SHORT, Answer, Call
from busfn_services.flight import Kind
from busfn_services.worker.executor import Arguments, Executor
from busfn_services.worker.job import Job
from busfn_services.worker.port import Port

SLICE = 0.001
"""Seconds of estimated work that is started at once in a chunk."""
HOLD = 0.020
"""Seconds a finished result of a chunk may wait for the ones after it."""

Input = tuple[int, Arguments]
"""An offset into the message, and what to call the function with."""


class Run(Protocol):
    """What a driver does with a message."""

    def inputs(self) -> Iterator[Input]:
        """Inputs to call, marked as started when they are handed out."""
        ...

    def succeeded(self, offset: int, value: Any) -> None: ...
    def failed(self, offset: int, error: BaseException) -> None: ...

    def finish(self) -> tuple[int, Sequence[Answer]]:
        """How many inputs were run, and the answers that are left to be sent."""
        ...


def run_of(executor: Executor, port: Port, job: Job) -> Run:
    """The run of a single call, of a map's chunk, or of calls that came together."""
    if not job.call.count:
        return Single(executor, port, job)
    return Chunk(executor, port, job) if job.kind is Kind.JOB else Joint(executor, port, job)


class Single:
    """A message with one input."""

    def __init__(self, executor: Executor, port: Port, job: Job) -> None:
        self._executor = executor
        self._port = port
        self._job = job
        self._begun = time.perf_counter()
        self._done = 0
        self._answers: Sequence[Answer] = ()

    def inputs(self) -> Iterator[Input]:
        if not self._job.take(1):
            return
        self._done = 1
        try:
            arguments = self._executor.arguments(self._job.call)
        except BaseException as error:
            self.failed(0, error)
            return
        self._job.decoded()
        self._port.started(self._job, 1)
        self._begun = time.perf_counter()
        yield 0, arguments

    def succeeded(self, offset: int, value: Any) -> None:
        took = time.perf_counter() - self._begun
        if self._job.kind is not Kind.JOB and not (self._executor.joinable and took < SHORT):
            took = 0.0  # to the caller of a single call it only says that further ones may come together
        self._answers = (self._executor.answers.value(self._job.call, value, took),)

    def failed(self, offset: int, error: BaseException) -> None:
        call = self._job.call
        if self._job.cancelled:
            return
        delay = self._executor.verdict(self._job, offset, error)
        if delay is not None:
            self._port.retry(self._job, 0, delay)
        else:
            self._answers = (self._executor.answers.failure(call, call.index, error),)

    def finish(self) -> tuple[int, Sequence[Answer]]:
        return self._done, self._answers


class Chunk:
    """A message with many inputs: finished results leave together, but none waits longer than `HOLD`."""

    def __init__(self, executor: Executor, port: Port, job: Job) -> None:
        self._executor = executor
        self._port = port
        self._job = job
        self._values: list[Any] = []
        self._first = job.begin
        self._since = time.monotonic()
        self._done = 0
        self._upto = job.begin

    def inputs(self) -> Iterator[Input]:
        inputs = inputs_of(self._executor, self._port, self._job)
        if inputs is None:
            return
        self._job.decoded()
        rows, kwargs = list(inputs), inputs.kwargs
        while offsets := self._job.take(self._slice_size()):
            self._upto = offsets.stop
            self._port.started(self._job, self._upto)
            for offset in offsets:
                yield offset, (rows[offset], kwargs)
            self._done += len(offsets)
            self._port.ended(self._job)  # what others shall take may come back late: until then nothing runs

    def succeeded(self, offset: int, value: Any) -> None:
        self._values.append(value)
        mean = self._executor.mean
        if not mean or mean > HOLD / 2 or time.monotonic() - self._since > HOLD:  # the next one may take long
            self._flush()
            self._port.started(self._job, self._upto)  # the next input's time starts now, not with the slice

    def failed(self, offset: int, error: BaseException) -> None:
        self._flush()
        call = self._job.call
        if self._job.cancelled:
            return
        delay = self._executor.verdict(self._job, offset, error)
        if delay is not None:
            self._port.retry(self._job, offset, delay)
        else:
            self._port.answer(self._job, self._executor.answers.failure(call, call.index + offset, error, 1))
        self._first = offset + 1
        self._port.started(self._job, self._upto)

    def finish(self) -> tuple[int, Sequence[Answer]]:
        return self._done, self._collected()

    def _slice_size(self) -> int:
        mean = self._executor.mean
        if self._job.call.crashes or not mean:
            return 1
        return max(1, int(SLICE / mean))

    def _answers(self, values: list[Any], took: float) -> list[Answer]:
        """One for all that goes to a caller; one for each that is stored."""
        build, call = self._executor.answers, self._job.call
        if not self._job.durable:
            return build.block(call, self._first, values, took)
        return [build.value(call, value, took, self._first + i) for i, value in enumerate(values)]

    def _flush(self) -> None:
        if answers := self._collected():
            self._port.answer(self._job, *answers)

    def _collected(self) -> list[Answer]:
        """Answers with the results since the last ones."""
        values, self._values = self._values, []
        answers: list[Answer] = []
        if values:
            took = self._executor.mean or (time.monotonic() - self._since) / len(values)
            answers = self._answers(values, took)
        self._first += len(values)
        self._since = time.monotonic()
        return answers


class Joint:
    """A message with calls of their own: none of them is started before it runs, and results can leave at any time."""

    def __init__(self, executor: Executor, port: Port, job: Job) -> None:
        self._executor = executor
        self._port = port
        self._job = job
        self._begun = time.perf_counter()
        self._done = 0

    def inputs(self) -> Iterator[Input]:
        inputs = inputs_of(self._executor, self._port, self._job)
        if inputs is None:
            return
        self._job.calls = inputs.calls or ()
        rows, kwargs = list(inputs), inputs.kwargs
        while offsets := self._job.take(1):
            self._port.started(self._job, offsets.stop)
            yield offsets.start, (rows[offsets.start], kwargs)
            self._done += 1

    def succeeded(self, offset: int, value: Any) -> None:
        try:
            self._job.add_ready(offset, self._executor.answers.result(self._job.call, value, offset))
        except Error as error:
            self.failed(offset, error)

    def failed(self, offset: int, error: BaseException) -> None:
        call = self._job.call
        delay = self._executor.verdict(self._job, offset, error)
        if delay is not None:
            self._port.retry(self._job, offset, delay)
        else:
            failure = self._executor.answers.failure(call, call.index + offset, error, 1)
            self._port.answer(self._job, *self._results(), failure)

    def finish(self) -> tuple[int, Sequence[Answer]]:
        return self._done, self._results()

    def _results(self) -> list[Answer]:
        took = (time.perf_counter() - self._begun) / max(1, self._done)
        return self._executor.answers.joined(self._job.call, self._job.take_ready(), took)


def inputs_of(executor: Executor, port: Port, job: Job) -> Inputs | None:
    """The inputs of a message; None when they cannot be read, and all of them were answered with the reason."""
    call = job.call
    try:
        return _decode(executor, call)
    except BaseException as error:  # decoding may run users' code
        offsets = job.take(job.remaining)
        executor.verdict(job, offsets.start, error)
        port.answer(job, executor.answers.failure(call, call.index + offsets.start, error, len(offsets)))
        return None


def _decode(executor: Executor, call: Call) -> Inputs:
    spec = executor.spec
    inputs = Inputs.unpack(executor.codecs.decode(call.payload, scope=call.scope(spec.app, spec.name)))
    if len(inputs) != call.count:
        raise InvalidError(f"a message announces {call.count} inputs and holds {len(inputs)}")
    return inputs
