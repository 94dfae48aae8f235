"""Tells in a worker's log of inputs that failed: the caller of a spawned call may never ask what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from busfn.protocol.envelope import Call
from busfn.spec import FunctionSpec
from busfn.tracebacks import user_traceback
from busfn_services.marks import Owner
from busfn_services.ours import is_framework_file

MAX_TRACEBACKS = 50
"""In one second; of further failures only class and message are written, or nothing when their callers know."""
MAX_TEXT = 32 * 1024

Write = Callable[[Owner, bytes], None]
"""Writes lines to the worker's stderr, in the name of an input."""


class FailureLog:
    """The failures of one worker."""

    def __init__(self, spec: FunctionSpec, write: Write) -> None:
        self._spec = spec
        self._write = write
        self._second = 0
        self._told = 0

    def report(
        self, call: Call, named: str, index: int, error: BaseException, *, durable: bool, delay: float | None
    ) -> None:
        """An input of the call with the id ``named`` has failed; with a ``delay`` it is tried again.

        What a caller is answered goes to the logs only, since the caller has it.
        """
        answered = not durable and delay is None
        full = self._has_room()
        if answered and not full:
            return
        text = _traceback(error) if full else _last_line(error)
        if delay is not None:
            text += f"\nbusfn: attempt {call.attempt} failed and is tried again in {delay:g} s"
        elif durable:
            text += f"\nbusfn: call {self._spec.label}.{named}{f', input {index},' if index else ''} has failed"
        self._write(Owner(named, index, answered), text.encode("utf-8", "backslashreplace") + b"\n")

    def _has_room(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._told = second, 0
        self._told += 1
        return self._told <= MAX_TRACEBACKS


def _traceback(error: BaseException) -> str:
    try:
        text = user_traceback(error, is_framework_file)
    except Exception as broken:  # the error's own code is asked for its texts
        return f"{type(error).__name__} (whose traceback failed with {type(broken).__name__})"
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT // 2]}\n...\n{text[-MAX_TEXT // 2 :]}"


def _last_line(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:MAX_TEXT]
    except Exception:  # the error's own code fails
        return type(error).__name__
