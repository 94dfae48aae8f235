"""Starts that outlive a lost host, so that an input that takes whole hosts down is not handed out for ever.

A supervisor counts the workers that an input takes down, but nobody is left to count when the host goes with them: the
server hands the message out again when its lease has run out. So a message that comes again is noted on the bus before
it is started, and the note goes when the message is settled: one that is still there tells of a loss while it ran.
What merely waited in the hands of a lost host leaves no note. What ran beside the one that is to blame does, so
messages with a note run one at a time in a function: then only one of them can be lost.
"""

from __future__ import annotations

import logging
from enum import Enum

from busfn.bus.base import Bus
from busfn.errors import Error, InternalFailure
from busfn.protocol.subjects import Subjects
from busfn.spec import LOST_LIMIT, FunctionSpec
from busfn.streams import RETENTION
from busfn_services.worker.job import Job

logger = logging.getLogger("busfn.starts")


SHORTEST_LEASE = 1.0
"""Seconds that a lease lasts at the least: what comes again sooner after it was stored was put back by a worker."""


def may_be_lost(deliveries: int, age: float) -> bool:
    """Whether a message that was handed out so often, ``age`` seconds after it was stored, may have been lost before.

    Busy workers put back what they have no room for, so coming again alone says little.
    """
    return deliveries > 1 and age > SHORTEST_LEASE


class Ruling(Enum):
    """What becomes of a message that came again."""

    RUN = "run it"
    WAIT = "run it later, when no other one with a note runs"
    DIVIDE = "divide it, for one of its inputs may be to blame"
    GIVE_UP = "give it up"


def rule(inputs: int, lost: int) -> Ruling:
    """Decide by how many inputs a message has, and how often it was lost while it ran."""
    if inputs > 1:
        return Ruling.DIVIDE if lost else Ruling.RUN
    return Ruling.GIVE_UP if lost >= LOST_LIMIT else Ruling.RUN


def lost_hosts(spec: FunctionSpec, lost: int) -> InternalFailure:
    """The error of an input that is given up."""
    return InternalFailure(f"{spec.label}: {lost} hosts or workers were lost while running this input")


class Starts:
    """The notes on a function's messages. Loop thread only."""

    def __init__(self, bus: Bus, subjects: Subjects, spec: FunctionSpec) -> None:
        self._queues = bus.queues
        self._jobs = subjects.stream("JOBS")
        self._table = bus.table(subjects.table)
        self._turn = f"turn.{subjects.consumer(spec.app, spec.name)}"

    async def ruling(self, job: Job) -> Ruling:
        """What becomes of a message; one that nothing is known of is run."""
        if not job.suspect:
            return Ruling.RUN
        try:
            return await self._rule(job)
        except Error as error:
            logger.warning("it is not known whether %s took hosts down before: %s", _name(job), error)
            return Ruling.RUN

    async def _rule(self, job: Job) -> Ruling:
        stored = await self._table.get(_key(job.call.call, job.sequence))
        job.lost = int(stored or 0)
        ruling = rule(job.inputs, job.lost)
        if ruling is Ruling.RUN and stored is not None and not await self._take_turn(job.sequence):
            return Ruling.WAIT
        return ruling

    async def _take_turn(self, sequence: int) -> bool:
        """Whose turn it is keeps it until its message is settled, wherever it is handed out again."""
        ours = str(sequence).encode()
        entry = await self._table.entry(self._turn)
        if entry is None:
            return await self._table.create(self._turn, ours, ttl=RETENTION)
        if entry.value == ours:
            return True
        if await self._queues.peek(self._jobs, int(entry.value)) is not None:
            return False
        return await self._table.update(self._turn, ours, entry.revision, ttl=RETENTION) is not None

    async def suspect(self, call: str, sequence: int) -> None:
        """Note a message that was never started, but comes from one that was lost."""
        await self._table.put(_key(call, sequence), b"0", ttl=RETENTION)

    async def note(self, job: Job) -> None:
        """It is started now. Without a bus it is started all the same: work does not wait for its bookkeeping."""
        if job.noted:
            return
        job.noted = True
        try:
            await self._table.put(_key(job.call.call, job.sequence), str(job.lost + 1).encode(), ttl=RETENTION)
        except Error as error:
            logger.warning("the start of %s is not noted: %s", _name(job), error)

    async def forget(self, job: Job) -> None:
        """It is settled."""
        try:
            await self._table.delete(_key(job.call.call, job.sequence))
        except Error as error:
            logger.info("the note on %s stays for a while: %s", _name(job), error)


def _key(call: str, sequence: int) -> str:
    return f"started.{call}.{sequence}"


def _name(job: Job) -> str:
    return f"call {job.call.call}, input {job.call.index}"
