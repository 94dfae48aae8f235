"""What is still queued when a run ends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

from busfn.bus.base import Bus
from busfn.errors import Error, NotFoundError, ProtocolError
from busfn.protocol.border import NO_CALL
from busfn.protocol.envelope import read_call
from busfn.protocol.subjects import Subjects

PATIENCE = 1.0
"""Seconds for which messages are counted; of what is left then, each counts as one input."""
PAGE = 64


async def queued_inputs(bus: Bus, subjects: Subjects, apps: Iterable[str]) -> dict[str, int]:
    """Inputs by function that were handed over and have not ended; those of a `map` go with whoever waits for them."""
    until = time.monotonic() + PATIENCE
    found: Counter[str] = Counter()
    for app in apps:
        for kind, pattern in (("JOBS", subjects.jobs_of(app)), ("DELAYED", subjects.delayed_of(app))):
            stream = subjects.stream(kind)
            for subject in await bus.queues.subjects(stream, pattern):
                with suppress(ProtocolError):  # it is no function's: nobody will run it
                    found[subjects.parse(subject).function] += await _inputs(bus, stream, subject, until)
    return {function: count for function, count in sorted(found.items()) if count}


async def _inputs(bus: Bus, stream: str, subject: str, until: float) -> int:
    count, sequence = 0, 1
    while True:  # ends: in time, or with the last page
        if time.monotonic() > until:
            return count + 1
        try:
            page = await bus.history.read(stream, subject, sequence=sequence, count=PAGE)
        except NotFoundError:
            return count
        for stored in page:
            try:
                call = read_call(stored.headers, b"", call=NO_CALL)
            except Error:
                count += 1
                continue
            low, high = call.select or (0, call.count or 1)
            count += 0 if call.reply else high - low
        if len(page) < PAGE:
            return count
        sequence = page[-1].sequence + 1
