"""What the running code may ask about itself: am I in a worker, which call is this?"""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass
from os import environ

WORKER_VARIABLE = "BUSFN_WORKER_ID"
"""Set in worker processes and inherited by their children."""


@dataclass(slots=True)
class CurrentInput:
    """The input that a worker is running; never changed. One is made for each input, and freezing costs as much again
    as making it."""

    call: str
    index: int
    path: tuple[str, ...]
    """Functions that wait for this input, outermost first, this one included."""

    @property
    def input_id(self) -> str:
        return f"{self.call}-{self.index}"

    @property
    def call_id(self) -> str:
        """The call as everybody names it, with its function."""
        return f"{self.path[-1]}.{self.call}"


_current: ContextVar[CurrentInput | None] = ContextVar("busfn_current_input", default=None)


class Nesting:
    """What calls need to know of the worker that they are made in; this one is for all other processes, where nobody
    counts who waits.

    Use it with ``with`` while a body is blocked until a call of its own ends, from any thread.
    """

    __slots__ = ()

    def current(self) -> CurrentInput | None:
        """The input whose body makes a call now, also in a thread that the body has started; None outside a worker."""
        return _current.get() or self.running()

    def running(self) -> CurrentInput | None:
        """The input that the worker runs, as any thread sees it; None when that is not known."""
        return None

    def begin(self) -> None:
        """A body begins to wait for a call that it has made."""

    def end(self) -> None:
        """It goes on."""

    def __enter__(self) -> None:
        """`begin`."""

    def __exit__(self, *_: object) -> None:
        """`end`."""


NOT_NESTED = Nesting()
"""Outside a worker."""


def current_input() -> CurrentInput | None:
    """The input being run, or None outside a worker."""
    return _current.get()


def current_input_id() -> str | None:
    """The id of the input being run, or None outside a worker."""
    current = _current.get()
    return current.input_id if current else None


def current_function_call_id() -> str | None:
    """The id of the call that the running input belongs to (all inputs of a map share it), or None outside a worker.

    It is what `FunctionCall.object_id` says and `FunctionCall.from_id` takes: ``app.function.0123abcd``.
    Only calls that were spawned can be found by it.
    """
    current = _current.get()
    return current.call_id if current else None


def is_local() -> bool:
    """False in a worker process and in its children, True everywhere else."""
    return WORKER_VARIABLE not in environ


def enter_input(current: CurrentInput) -> Token[CurrentInput | None]:
    """Make ``current`` the running input; `leave_input` takes what this returns."""
    return _current.set(current)


def leave_input(token: Token[CurrentInput | None]) -> None:
    """The input that was entered runs no more."""
    _current.reset(token)
