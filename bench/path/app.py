"""A function that does nothing, in a worker that can tell which functions it passed through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple

import busfn
from bench.path.recorder import Recorder

app = busfn.App("path")
recorder = Recorder()


@app.function(max_containers=1, min_containers=1)
def same(x: object) -> object:
    """Returns ``x``; the words ``start`` and ``stop`` begin and end the recording in this worker."""
    if x == "start":
        recorder.start()
    elif x == "stop":
        return [astuple(hop) for hop in recorder.stop()]
    return x


@app.function(max_containers=1, min_containers=1, is_generator=True)
def items(x: object) -> Iterator[object]:
    """Yields two items; the words begin and end the recording, as in `same`."""
    if x == "start":
        recorder.start()
    yield x
    yield [astuple(hop) for hop in recorder.stop()] if x == "stop" else x
