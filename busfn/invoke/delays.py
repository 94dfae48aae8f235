"""Calls that are not due for long are put off: they wait in a stream of their own, and are nobody's work until shortly
before their time. Whoever serves functions puts them into their queue then.
"""

from __future__ import annotations

from contextlib import suppress

from busfn.bus.base import Bus
from busfn.errors import NotFoundError
from busfn.protocol.envelope import Call
from busfn.protocol.subjects import Subjects

PUT_OFF = 2.0
"""Seconds before its time above which a call is put off. Below, the queue itself keeps it, to the millisecond."""
LEAD = 1.0
"""Seconds before its time that it comes into the queue, so that a worker is there then."""


def is_early(call: Call, now: float) -> bool:
    """Whether a call is to be put off; ``now`` in Unix seconds."""
    return call.not_before > (now + PUT_OFF) * 1000


def queued_at(subjects: Subjects, app: str, function: str, call: Call, now: float) -> str:
    """The subject of a durable message: in the queue, or among those that are put off."""
    if is_early(call, now):
        return subjects.delayed(app, function, call.call, call.not_before)
    return subjects.job(app, function, call.call)


def overflow_at(subjects: Subjects, app: str, function: str, call: Call, now: float) -> str:
    """The subject of an interactive call that is handed on."""
    if is_early(call, now):
        return subjects.delayed_overflow(app, function, call.not_before)
    return subjects.overflow(app, function)


async def is_queued(bus: Bus, subjects: Subjects, app: str, function: str, call: str) -> bool:
    """Whether a message of a durable call is queued, runs, or is put off."""
    jobs, job = subjects.stream("JOBS"), subjects.job(app, function, call)
    if await bus.queues.latest(jobs, job) is not None or await is_put_off(bus, subjects, app, function, call):
        return True
    return await bus.queues.latest(jobs, job) is not None  # it may have come from there to here in between


async def is_put_off(bus: Bus, subjects: Subjects, app: str, function: str, call: str) -> bool:
    """Whether a message of a durable call waits for its time."""
    delayed = subjects.delayed(app, function, call, "*")
    return await bus.queues.oldest(subjects.stream("DELAYED"), delayed) is not None


async def withdraw_messages(bus: Bus, subjects: Subjects, app: str, function: str, call: str) -> None:
    """Remove all messages of a durable call. What is put off goes first: from there messages come into the queue."""
    with suppress(NotFoundError):  # nothing was ever put off on this bus
        await bus.queues.purge(subjects.stream("DELAYED"), subjects.delayed(app, function, call, "*"))
    await bus.queues.withdraw(subjects.stream("JOBS"), subjects.job(app, function, call))
