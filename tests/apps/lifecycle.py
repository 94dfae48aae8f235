"""An app that is run again and again, and one whose workers cannot start."""

from __future__ import annotations

from typing import Any

import busfn

app = busfn.App("lifecycle")


class Thing:
    """Not plain data."""


@app.function()
def square(x: int) -> int:
    return x * x


@app.function()
def echo(value: Any) -> Any:
    return value


broken = busfn.App("broken")


@broken.function(env={"LIFECYCLE_BROKEN": "1"})
def never(x: int = 0) -> None: ...


def _fail_in_the_worker_of_never() -> None:
    import os

    if "LIFECYCLE_BROKEN" in os.environ:
        raise RuntimeError("not in a worker")


_fail_in_the_worker_of_never()
