"""Being a worker that runs an input, without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from busfn.context import CurrentInput, enter_input, leave_input


@contextmanager
def running(current: CurrentInput) -> Iterator[None]:
    """As if a worker ran this input."""
    token = enter_input(current)
    try:
        yield
    finally:
        leave_input(token)
