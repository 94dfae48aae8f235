"""The inputs of one message, one after the other, and their answers; how an input is called is left to the driver."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from typing import Any, Protocol

from busfn.errors import InvalidError
from busfn.protocol.chunks import Inputs
from busfn.protocol.codecs import Payload
from busfn.protocol.codecs.msgpack import SCALARS, snapshot
from busfn.protocol.envelope import SHORT, Answer
from busfn_services.flight import Kind
from busfn_services.worker.executor import Arguments, Executor
from busfn_services.worker.job import Job
from busfn_services.worker.port import Port

SLICE = 0.001
"""Seconds of estimated work that is started at once in a chunk."""
HOLD = 0.020
"""Seconds a finished result of a chunk may wait for the ones after it."""


class Run(Protocol):
    """What a driver does with a message. An input is known by its offset."""

    def inputs(self) -> Iterator[int]:
        """Inputs to call, marked as started when they are handed out."""
        ...

    @property
    def arguments(self) -> Callable[[int], Arguments]:
        """What to call the function with. Raises what decoding raises, which is that input's failure."""
        ...

    def frozen(self, value: Any) -> Any:
        """What the function has returned, as it is now, for `succeeded`. Raises what cannot be sent."""
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
        self._begun = self._ended = 0.0
        self._done = 0
        self._answers: Sequence[Answer] = ()

    def inputs(self) -> Iterator[int]:
        if self._job.take(1):
            self._done = 1
            self._port.started(self._job, 1)
            yield 0

    def arguments(self, offset: int) -> Arguments:
        arguments = self._executor.arguments(self._job.call)
        self._job.decoded()
        self._begun = time.perf_counter()
        return arguments

    def frozen(self, value: Any) -> Payload:
        self._ended = time.perf_counter()
        return self._executor.answers.encoded(self._job.call, self._executor.refuse_unsendable(value))

    def succeeded(self, offset: int, value: Payload) -> None:
        took = self._ended - self._begun
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
            failure = self._executor.answers.failure(call, call.index, error)
            self._answers = (failure.copy(took=time.perf_counter() - self._begun) if self._job.durable else failure,)

    def finish(self) -> tuple[int, Sequence[Answer]]:
        return self._done, self._answers


class Together:
    """What is common to messages with many inputs: they are opened as the first of them, and decoded one by one."""

    def __init__(self, executor: Executor, port: Port, job: Job) -> None:
        self._executor = executor
        self._port = port
        self._job = job
        self.arguments: Callable[[int], Arguments] = _unopened
        self._inputs: Inputs | None = None

    def opened(self, started: range) -> Inputs | None:
        """The inputs, of which some were started; None when they cannot be told apart, and all of them were answered
        with the reason."""
        executor, call = self._executor, self._job.call
        try:
            try:
                inputs = copy_context().run(self._open, started.start)
            finally:
                executor.end()
            self._inputs, self.arguments = inputs, inputs.arguments
        except BaseException as error:
            rest = self._job.take(self._job.remaining)
            count = len(started) + len(rest)
            told = executor.explained(error)
            executor.verdict(self._job, started.start, told)
            failure = executor.answers.failure(call, call.index + started.start, told, count)
            self._port.answer(self._job, failure)
        return self._inputs

    def _open(self, offset: int) -> Inputs:
        """Old messages are pickled as a whole, so this may run users' code, too."""
        self._executor.begin(offset)
        call, spec = self._job.call, self._executor.spec
        inputs = Inputs(self._executor.codecs, call.payload, call.scope(spec.app, spec.name))
        if len(inputs) != call.count:
            raise InvalidError(f"a message announces {call.count} inputs and holds {len(inputs)}")
        return inputs


class Chunk(Together):
    """A message with many inputs: finished results leave together, but none waits longer than `HOLD`."""

    def __init__(self, executor: Executor, port: Port, job: Job) -> None:
        super().__init__(executor, port, job)
        self._values: list[Any] = []
        self._first = job.begin
        self._since = time.monotonic()
        self._done = 0
        self._upto = job.begin
        mean = executor.mean
        self._at_once = not mean or mean > HOLD / 2
        """The next input may take long: a result must not wait for it."""

    def inputs(self) -> Iterator[int]:
        while offsets := self._job.take(self._slice_size()):
            self._upto = offsets.stop
            self._port.started(self._job, self._upto)
            if self._inputs is None:
                if self.opened(offsets) is None:
                    return
                self._job.decoded()
            yield from offsets
            self._done += len(offsets)
            self._port.ended(self._job)  # what others shall take may come back late: until then nothing runs

    def frozen(self, value: Any) -> Any:
        if type(value) in SCALARS:
            return value
        if (copied := snapshot(value)) is not None:
            return copied
        return self._executor.answers.encoded(self._job.call, self._executor.refuse_unsendable(value))

    def succeeded(self, offset: int, value: Any) -> None:
        self._values.append(value)
        if self._at_once or time.monotonic() - self._since > HOLD:
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
        build = self._executor.answers.singles if self._job.durable else self._executor.answers.block
        return build(self._job.call, self._first, values, took)

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


class Joint(Together):
    """A message with calls of their own: none of them is started before it runs, and results can leave at any time."""

    def __init__(self, executor: Executor, port: Port, job: Job) -> None:
        super().__init__(executor, port, job)
        self._begun = time.perf_counter()
        self._done = 0

    def inputs(self) -> Iterator[int]:
        while offsets := self._job.take(1):
            self._port.started(self._job, offsets.stop)
            if self._inputs is None:
                if (inputs := self.opened(offsets)) is None:
                    return
                self._job.calls = inputs.calls or ()
                self._executor.take(self._job)
            yield offsets.start
            self._done += 1

    def frozen(self, value: Any) -> Payload:
        return self._executor.answers.encoded(self._job.call, self._executor.refuse_unsendable(value))

    def succeeded(self, offset: int, value: Payload) -> None:
        self._job.add_ready(offset, value)

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


def _unopened(offset: int) -> Arguments:
    raise AssertionError("inputs are handed out when their message has been opened")
