"""A function whose inputs are short, but for those that a test makes long, fail, or take their worker down."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import busfn

app = busfn.App("joint")


class Opaque:
    """Plain data cannot say this: it travels as a pickle."""

    def __init__(self, value: object) -> None:
        self.value = value


@app.function(min_containers=2, max_containers=2)
def act(what: str, value: Any = None) -> Any:
    """Does what it is told."""
    if what == "ids":
        return busfn.current_function_call_id(), busfn.current_input_id(), os.getpid()
    if what == "fail":
        raise ValueError(value)
    if what == "print":
        print(value)
    if what == "opaque":
        return Opaque(value)
    if what == "large":
        return bytes(value)
    if what == "sleep":
        time.sleep(value)
    if what == "die":
        _die_once(Path(value))
    return value


def _die_once(mark: Path) -> None:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@app.function(min_containers=1, max_containers=1, retries=2)
def retried(x: int) -> int:
    """Short, but what fails of it is tried again."""
    return x
