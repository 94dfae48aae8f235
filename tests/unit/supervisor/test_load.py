"""What a supervisor tells of a worker's load, and how it reaches whoever scales."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from busfn.spec import FunctionSpec
from busfn_services.controller.launchers.process import ProcessLauncher
from busfn_services.flight import SLOTS, Entry, FlightTable, Kind
from busfn_services.supervisor.worker import State, Worker


def entry(number: int, started: float) -> Entry:
    return Entry(
        kind=Kind.JOB, foreign=False, call=f"{number:032x}", first=0, crashes=0, sequence=number, token="t", reply="",
        started=started, running=started > 0, accepted=started or 1.0,
    )  # fmt: skip


@pytest.fixture
def worker() -> Iterator[Worker]:
    fd = FlightTable.create_file()
    ours, theirs = socket.socketpair()
    spec = FunctionSpec(app="a", name="f", source={}, qualname="f")
    yield Worker("w1", spec, FlightTable(fd), ours, 0.0, State.READY)
    ours.close()
    theirs.close()
    os.close(fd)


class OneWorker:
    """As much of a supervisor as a launcher looks at."""

    def __init__(self, worker: Worker) -> None:
        self.workers = {worker.name: worker}


def test_an_idle_worker_runs_nothing(worker: Worker) -> None:
    assert (worker.load().running, worker.load().busy) == (0, False)


def test_it_runs_no_more_than_it_can_whatever_it_holds(worker: Worker) -> None:
    now = time.monotonic()
    worker.table.fill(0, entry(1, now - 2.0))
    assert (worker.load().running, worker.load().held) == (1, 1)
    for number in range(1, 4):
        worker.table.fill(number, entry(number, 0.0))
    assert (worker.load().running, worker.load().held) == (SLOTS, 4)
    assert worker.load().running_for >= 2.0
    worker.table.fill(4, replace(entry(5, 0.0), token=""))
    assert (worker.load().held, worker.table.occupancy().messages) == (4, 5)
    [view] = ProcessLauncher(OneWorker(worker)).workers(worker.spec)  # type: ignore[arg-type]
    assert (view.running, view.busy, view.held) == (SLOTS, True, 4)
