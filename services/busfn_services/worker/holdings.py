"""What a worker holds, what it has room for, and what it shall give away again. Loop thread only; does no I/O."""

from __future__ import annotations

import time
from collections.abc import Iterator

from busfn.protocol.envelope import Call
from busfn_services.flight import RECORDS, Kind
from busfn_services.worker.job import Job
from busfn_services.worker.limiter import FORESEEN, SOON, Limiter

CUT_AFTER = 0.050
"""Seconds after which what still waits behind a running body is given away, so that short work is not trapped behind
long."""
MOST_STORING = 16
"""Messages whose bodies are done and whose outcomes are still being stored, beside which others may be taken."""
FULL_PAUSE = 1.0
"""Seconds in which nothing more of a message is given away after there was no room for it in the queue."""
_LOOK_AGAIN = 0.010
"""Seconds until the next look while nothing runs: what waits is still being fetched."""


class Holdings:
    """The messages that were taken and are not settled."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._free = list(range(RECORDS))
        self._jobs: dict[Job, float] = {}
        """When (monotonic seconds) each was taken."""
        self._unfinished: dict[Job, None] = {}
        """Those whose bodies are not done, in the order in which they run."""
        self._inputs = 0
        """Of those."""
        self._storing: set[Job] = set()

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def __contains__(self, job: Job) -> bool:
        return job in self._jobs

    def spare(self) -> int:
        """Messages that may be taken at once."""
        return self._limiter.room(self._work()) if self._free and len(self._storing) < MOST_STORING else 0

    def room(self) -> int:
        """Messages that may be asked for: by the time they are here, there is room for them."""
        if not self._free or len(self._storing) >= MOST_STORING:
            return 0
        work = self._work()
        return self._limiter.room(work) or self._limiter.ahead(work)

    def bears(self) -> bool:
        """Whether a message that was asked for can be taken: there is room, or not much too much is held."""
        work = self._work()
        return bool(self._free) and (self._limiter.room(work) > 0 or self._limiter.bears(work))

    def soon(self) -> float | None:
        """Seconds until a message may be asked for ahead of its turn; None when that is not to be foreseen."""
        mean = self._limiter.mean
        if mean is None or mean > FORESEEN or not self._jobs:
            return None
        return self._work() - SOON

    def make(self, call: Call, kind: Kind, token: str, sequence: int) -> Job:
        """A job for a message, in a slot of its own; not held yet."""
        return Job(call, kind, self._free[-1], token, sequence)

    def take(self, job: Job) -> None:
        """Hold it."""
        self._free.pop()
        self._jobs[job] = time.monotonic()
        self._unfinished[job] = None
        self._inputs += job.inputs
        self._limiter.take(job.inputs)

    def cut(self, job: Job, keep: int = 0, *, offered: bool = False) -> tuple[int, int] | None:
        """Give up the inputs that were not started, but for ``keep``; their offsets, or None when there are none."""
        rest = job.cut(keep, offered=offered)
        if rest is not None and not job.over:
            self._inputs -= rest[1] - rest[0]
        return rest

    def restore(self, job: Job, rest: tuple[int, int]) -> bool:
        """Take back what was cut off, because the queue has no room for it; False when it is too late."""
        if not job.restore(rest):
            return False
        self._inputs += rest[1] - rest[0]
        self._jobs[job] = time.monotonic() + FULL_PAUSE
        return True

    def ran(self, job: Job, mean: float) -> None:
        """The body is done with it; ``mean`` seconds an input, 0 when none was run."""
        self._finish(job)
        if job.tail is not None:
            self._storing.add(job)
        if mean > 0:
            self._limiter.observe(mean)

    def release(self, job: Job) -> None:
        """It is settled."""
        del self._jobs[job]
        self._free.append(job.slot)
        self._storing.discard(job)
        if not job.over:
            self._finish(job)

    def trapped(self) -> list[Job]:
        """What has waited for too long behind a body that runs; while none runs, its turn comes as soon as it can."""
        if not any(job.running for job in self._jobs):
            return []
        latest = time.monotonic() - CUT_AFTER
        return [job for job, taken in self._jobs.items() if taken <= latest and job.remaining]

    def next_look(self) -> float | None:
        """Seconds until something may be trapped; None when nothing waits."""
        waiting = [taken for job, taken in self._jobs.items() if job.unsettled]
        return max(_LOOK_AGAIN, min(waiting) + CUT_AFTER - time.monotonic()) if waiting else None

    def _finish(self, job: Job) -> None:
        job.over = True
        del self._unfinished[job]
        self._inputs -= job.inputs
        self._limiter.release()

    def _work(self) -> float:
        """Seconds that it all will still take, as far as can be told."""
        first, mean = next(iter(self._unfinished), None), self._limiter.mean or 0.0
        if first is None:
            return 0.0
        return (self._inputs - first.inputs) * mean + first.work(mean, time.monotonic())
