"""Records the Python functions that all threads of a process enter, with the moment of each."""

from __future__ import annotations

import gc
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from busfn.sync import LoopThread

ROOT = str(Path(__file__).resolve().parents[2]) + "/"
OWN = str(Path(__file__).resolve().parent)


@dataclass(frozen=True, slots=True)
class Hop:
    """One function that was entered."""

    moment: float
    """Monotonic seconds, which all processes of a machine share."""
    thread: str
    file: str
    function: str


class Recorder:
    """Records from `start` to `stop`, on the calling thread and on the loop threads of busfn."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, str, Any]] = []

    def start(self) -> None:
        """Record from now on."""
        for loop_thread in _loop_threads():
            loop_thread.call(sys.setprofile, self._note)
        sys.setprofile(self._note)

    def stop(self) -> list[Hop]:
        """Record no longer; returns what was entered since `start`, in order."""
        sys.setprofile(None)
        for loop_thread in _loop_threads():
            loop_thread.call(sys.setprofile, None)
        seen, self._seen = self._seen, []
        hops = (Hop(moment, thread, _short(code.co_filename), code.co_qualname) for moment, thread, code in seen)
        return [hop for hop in hops if not hop.file.startswith(OWN)]

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self._seen.append((time.monotonic(), threading.current_thread().name, frame.f_code))


def _loop_threads() -> list[LoopThread]:
    return [found for found in gc.get_objects() if isinstance(found, LoopThread)]


def _short(file: str) -> str:
    return file.removeprefix(ROOT) if not file.startswith(OWN) else file
