"""What a large payload costs on both sides."""

from __future__ import annotations

import os
import random

from bench.app import echo_large
from bench.processes import forget_peak, peak
from bench.rows.shared import Metrics, Params, seconds_of
from bench.subject import Subject


def payload_once(subject: Subject, params: Params) -> Metrics:
    """There and back once; peaks are of the whole processes, the payload of the caller included."""
    worker = int(echo_large.remote(b""))
    body = random.Random(1).randbytes(int(params["bytes"]))
    for pid in (os.getpid(), worker):
        forget_peak(pid)
    took = seconds_of(lambda: echo_large.remote(body))
    return {"round-trip": 1e3 * took, "caller-peak": peak(os.getpid()), "worker-peak": peak(worker)}
