"""Runs user code on the worker's main thread, one message at a time."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from functools import cached_property
from typing import Any, cast

from busfn.context import CurrentInput, enter_input
from busfn.errors import FunctionTimeoutError, InputCancellation, InvalidError
from busfn.protocol.arguments import unpack_arguments
from busfn.protocol.codecs import Codecs
from busfn.protocol.convert import Interface
from busfn.protocol.envelope import Call
from busfn.spec import FunctionSpec
from busfn_services.marks import Owner
from busfn_services.outcomes import retry_delay
from busfn_services.worker.answers import AnswerBuilder
from busfn_services.worker.failures import FailureLog, Write
from busfn_services.worker.forkguard import ForkGuard
from busfn_services.worker.job import Job

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class InputTimeout(BaseException):
    """Raised inside a body that runs longer than its function's timeout."""


_PLAIN = frozenset((int, float, str, bytes, bool, list, dict, tuple, type(None)))
"""Types of results that need no closer look."""


def _nowhere(_owner: Owner, _text: bytes) -> None:
    """There is no log."""


class Executor:
    """What running an input needs, for any kind of function: arguments in, the body marked as running, errors out."""

    def __init__(
        self,
        spec: FunctionSpec,
        raw: Callable[..., Any],
        codecs: Codecs,
        worker: str,
        guard: ForkGuard,
        write: Write = _nowhere,
    ) -> None:
        self.spec = spec
        self.guard = guard
        self.raw = raw
        self.codecs = codecs
        self.answers = AnswerBuilder(codecs, worker)
        self._failures = FailureLog(spec, write)
        self.mean: float | None = None
        self.joinable = spec.retries is None and not spec.single_use_containers
        """Whether calls that are short may come together: what fails is not tried again here."""
        self.current: CurrentInput | None = None
        """The input whose body runs, as any thread sees it."""
        self._running_since = 0.0
        self._job: Job | None = None
        self._call = ""
        self._calls: Sequence[str] = ()
        self._first = 0
        self._path: tuple[str, ...] = ()
        self._stopped: BaseException | None = None
        """What the input that runs was interrupted with."""

    def overdue(self) -> bool:
        """Whether the body that runs now is over its time; a signal that comes late finds the next input and must not
        hit it."""
        since = self._running_since
        return since > 0 and time.monotonic() - since >= self.spec.timeout

    def interruption(self) -> BaseException | None:
        """What the running input shall be stopped with now, if anything. It is told once: what the input makes of it
        is its own affair, until its worker is killed."""
        if not self._running_since or self._stopped is not None:
            return None
        if self._job is not None and self._job.cancelled:
            self._stopped = InputCancellation("the call was cancelled")
        elif self.overdue():
            self._stopped = InputTimeout()
        return self._stopped

    def interrupt(self) -> None:
        """From a signal handler on the main thread: stop an input that is over its time or cancelled."""
        reason = self.interruption()
        if reason is not None:
            raise reason

    def arguments(self, call: Call) -> Arguments:
        """The call's arguments; a foreign caller's are checked and converted by the annotations."""
        if not call.payload.body and not call.payload.content_type:
            args, kwargs = cast(Arguments, ((), {}))
        else:
            value = self.codecs.decode(call.payload, scope=call.scope(self.spec.app, self.spec.name))
            args, kwargs = unpack_arguments(value)
        if call.foreign:
            return self._interface.convert(args, kwargs)
        return args, kwargs

    def take(self, job: Job) -> None:
        """The inputs that are begun from now on are of this message."""
        self._job = job
        self._call = job.call.call
        self._calls = job.calls
        self._first = job.call.index
        self._path = (*job.call.path, self.spec.label)

    def begin(self, offset: int) -> None:
        """In the context of an input: it may be interrupted from now on, until `end`."""
        if self._calls:
            current = CurrentInput(self._calls[offset], 0, self._path)
        else:
            current = CurrentInput(self._call, self._first + offset, self._path)
        enter_input(current)
        self.current = current
        self._stopped = None
        self._running_since = time.monotonic()

    def end(self) -> None:
        """It is over, perhaps with the exception that is being handled: what interrupts it comes too late."""
        if self.guard.is_child:
            self.guard.leave(sys.exception())
        self._running_since = 0.0
        self.current = None

    def refuse_unsendable(self, value: object) -> Any:
        """A generator or coroutine is no result: say what to do instead."""
        if type(value) in _PLAIN:
            return value
        if isinstance(value, Generator | Coroutine | AsyncGenerator):
            raise InvalidError(
                f"{self.spec.label} returned a {type(cast(object, value)).__name__}, which cannot be sent;"
                " a function that returns a generator needs `@app.function(is_generator=True)`"
            )
        return value

    def explained(self, error: BaseException) -> BaseException:
        """What the caller shall see of an error: a cancellation that we have not asked for is the body's own."""
        stopped = self._stopped
        if stopped is None or not (error is stopped or isinstance(error, asyncio.CancelledError)):
            return error
        if isinstance(stopped, InputTimeout):
            told: BaseException = FunctionTimeoutError(
                f"{self.spec.label} ran longer than its timeout of {self.spec.timeout:g} s"
            )
        else:
            told = stopped
        return told.with_traceback(error.__traceback__)

    def verdict(self, job: Job, offset: int, error: BaseException) -> float | None:
        """Seconds after which a failed input is tried again, None when its failure counts; the logs tell of it."""
        call, calls = job.call, job.calls
        delay = retry_delay(self.spec, call, error)
        named, index = (calls[offset], 0) if calls else (call.call, call.index + offset)
        self._failures.report(call, named, index, error, durable=job.durable, delay=delay)
        return delay

    def measured(self, seconds: float, inputs: int) -> float:
        """Take in a measurement; returns the mean of this one, 0 when no input was run."""
        if not inputs:
            return 0.0
        mean = seconds / inputs
        self.mean = mean if self.mean is None else 0.8 * self.mean + 0.2 * mean
        return mean

    @cached_property
    def _interface(self) -> Interface:
        """Looked at when the first foreign caller comes; others need none of it."""
        return Interface.of(self.raw)
