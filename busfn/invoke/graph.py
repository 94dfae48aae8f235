"""What is known of durable calls as a whole: the graph of who spawned whom, and the list of all calls.

Everything is read from what is stored anyway, but for a note that a body leaves when it spawns another call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum

from busfn.bus.base import Message
from busfn.errors import Error, NotFoundError, ProtocolError
from busfn.ids import made_at
from busfn.invoke.durable import CallRef
from busfn.invoke.link import Link
from busfn.invoke.moments import Times, stored_at, times_of
from busfn.invoke.stored import read_size, size_of
from busfn.protocol.border import MAX_INDEX, CallId, is_number, parse_number
from busfn.protocol.envelope import Answer, Status, read_answer
from busfn.protocol.names import Target
from busfn.protocol.subjects import CHILD_DOT, Address

logger = logging.getLogger("busfn.calls")

MOST_INPUTS = 1000
"""Inputs of one call that a graph shows."""
DEEPEST = 32
PAGE = 500
LOOKED_AT = 20
"""Results of one call that tell when it ran."""

Ran = tuple[Answer, Times]
"""What became of an input, and when it ran."""


class InputStatus(IntEnum):
    """What became of an input."""

    PENDING = 0
    SUCCESS = 1
    FAILURE = 2
    INIT_FAILURE = 3
    TERMINATED = 4
    TIMEOUT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class InputInfo:
    """One input of a durable call, and the calls it has spawned."""

    input_id: str
    function_call_id: str
    task_id: str = ""
    """The worker that ran it; empty while it has no result."""
    status: InputStatus = InputStatus.PENDING
    function_name: str = ""
    module_name: str = ""
    """Empty while it has no result."""
    queued_at: float = 0.0
    """When its call was made, in unix seconds; 0 for what is not known, here and below."""
    started_at: float = 0.0
    """When its last attempt was started; known once it has a result."""
    ended_at: float = 0.0
    attempts: int = 0
    """Attempts that ended with its result or before; 0 while it has none."""
    children: tuple[InputInfo, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSummary:
    """A durable call as a line of a list."""

    id: str
    app: str
    function: str
    state: str
    """``queued`` (some inputs wait or run), ``done``, ``failed`` (ended, some inputs failed) or ``cancelled``."""
    results: int
    """Inputs that have ended."""
    failed: int
    """Of these, those that failed."""
    inputs: int = 1
    queued_at: float = 0.0
    """When it was made, in unix seconds; 0 for what is not known, here and below."""
    started_at: float = 0.0
    """When the first of its inputs was started, as far as it is known; of many inputs, 20 are looked at."""
    ended_at: float = 0.0
    """When the last of its inputs ended; 0 while some are queued or run."""
    attempts: int = 0
    """Most attempts that one of its inputs took."""


@dataclass(slots=True)
class _Tally:
    target: Target
    call: str
    queued: bool = False
    cancelled: bool = False
    indexes: list[int] = field(default_factory=list[int])
    failed: int = 0
    sized: bool = False
    inputs: int = 1
    made: float = 0.0
    times: list[Times] = field(default_factory=list[Times])


class Graphs:
    """Reads graphs and lists; loop thread only."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._results = link.subjects.stream("RES")

    async def of(self, target: Target, call: CallId, depth: int = 0) -> list[InputInfo]:
        """The inputs of a call, oldest first, with everything below them."""
        subjects, queues = self._link.subjects, self._link.bus.queues
        count = min(MOST_INPUTS, await size_of(self._link, target, call))
        answers = await self._answers(target, call, range(count))
        cancelled = (
            await queues.latest(self._results, subjects.cancelled(target.app, target.function, call)) is not None
        )
        children = await self._children(target, call)
        return [
            _info(target, call, index, answers.get(index), cancelled, await self._below(children[index], depth))
            for index in range(count)
        ]

    async def input(self, target: Target, call: str, index: int) -> InputInfo:
        """One input of a call, without what it has spawned."""
        answers = await self._answers(target, call, range(index, index + 1))
        return _info(target, call, index, answers.get(index), False, ())

    async def calls(self, app: str, function: str, limit: int) -> list[CallSummary]:
        """The newest calls, newest first; empty texts mean all."""
        tallies = [one for one in (await self._tally(app)).values() if function in ("", one.target.function)]
        await self._date(tallies)
        newest = sorted(tallies, key=lambda one: (one.made, one.call), reverse=True)[:limit]
        await self._detail(newest)
        return [_summary(one) for one in newest]

    async def _below(self, children: Iterable[CallRef], depth: int) -> tuple[InputInfo, ...]:
        if depth >= DEEPEST:
            return ()
        found = await asyncio.gather(*(self.of(child.target, child.call, depth + 1) for child in children))
        return tuple(info for one in found for info in one)

    async def _children(self, target: Target, call: str) -> Mapping[int, list[CallRef]]:
        """By input, the calls that it has spawned, in the order of their ids, which is that of time."""
        subjects = self._link.subjects
        found: defaultdict[int, list[CallRef]] = defaultdict(list)
        pattern = subjects.child(target.app, target.function, call, "*", "*")
        for subject in await self._link.bus.queues.subjects(self._results, pattern):
            with suppress(Error):  # whoever may publish has written it
                *_, index, child = subjects.parse(subject).rest
                ref = CallRef.parse(child.replace(CHILD_DOT, "."))
                found[parse_number("the input's index", index, MAX_INDEX)].append(ref)
        for children in found.values():
            children.sort(key=lambda one: one.call)
        return found

    async def _answers(self, target: Target, call: str, indexes: range) -> dict[int, Ran]:
        app, function = target.app, target.function
        subjects = [self._link.subjects.result(app, function, call, index) for index in indexes]
        found = await self._read(subjects)
        answers = [(_answer(message), message) for message in found.values()]
        return {answer.index: (answer, times_of(message.headers, answer.took)) for answer, message in answers}

    async def _tally(self, app: str) -> Mapping[Address, _Tally]:
        tallies: dict[Address, _Tally] = {}
        subjects, wanted = self._link.subjects, app or "*"
        for kind, stream in (("res", "RES"), ("job", "JOBS"), ("delayed", "DELAYED"), ("dead", "DEAD")):
            pattern = f"{subjects.all_of(kind).removesuffix('>')}{wanted}.>"
            for subject in await self._link.bus.queues.subjects(subjects.stream(stream), pattern):
                try:
                    _count(tallies, subjects.parse(subject))
                except ProtocolError as error:  # whoever may publish has written it
                    logger.info("left out of the calls: %s", error)
        return tallies

    async def _date(self, tallies: Iterable[_Tally]) -> None:
        """When each was made: most ids tell, and for others the oldest thing that is stored of them does."""
        now, undated = time.time(), list[_Tally]()
        for tally in tallies:
            tally.made = made_at(tally.call, now)
            if not tally.made:
                undated.append(tally)
        stored = await self._read([one for tally in undated for one in self._first(tally)])
        for tally in undated:
            known = [stored_at(stored[one].headers) for one in self._first(tally) if one in stored]
            tally.made = min(filter(None, known), default=0.0) or await self._queued_at(tally)

    def _first(self, tally: _Tally) -> list[str]:
        where = (tally.target.app, tally.target.function, tally.call)
        if tally.sized:
            return [self._link.subjects.size(*where)]
        return [self._link.subjects.result(*where, index) for index in sorted(tally.indexes)[:1]]

    async def _queued_at(self, tally: _Tally) -> float:
        subjects, where = self._link.subjects, (tally.target.app, tally.target.function, tally.call)
        places = (("JOBS", subjects.job(*where)), ("DELAYED", subjects.delayed(*where, "*")))
        for stream, subject in places if tally.queued else ():
            with suppress(NotFoundError):
                found = await self._link.bus.history.read(subjects.stream(stream), subject, sequence=1, count=1)
                if found:
                    return found[0].time
        return 0.0

    async def _detail(self, tallies: Iterable[_Tally]) -> None:
        """Times and attempts, from some results of each; how many inputs, for those that have many."""
        looked: dict[str, _Tally] = {}
        for tally in tallies:
            where = (tally.target.app, tally.target.function, tally.call)
            looked |= {self._link.subjects.result(*where, index): tally for index in _some(tally.indexes)}
            if tally.sized:
                looked[self._link.subjects.size(*where)] = tally
        for subject, message in (await self._read(list(looked))).items():
            with suppress(ProtocolError):  # whoever may publish has written it
                if subject.endswith(".size"):
                    looked[subject].inputs = read_size(message.body)
                else:
                    looked[subject].times.append(times_of(message.headers, _answer(message).took))

    async def _read(self, subjects: list[str]) -> dict[str, Message]:
        found: dict[str, Message] = {}
        for start in range(0, len(subjects), PAGE):
            try:
                found |= await self._link.bus.queues.latest_each(self._results, subjects[start : start + PAGE])
            except NotFoundError:  # no durable call was ever made here
                return found
        return found


def _count(tallies: dict[Address, _Tally], address: Address) -> None:
    """Take in what a subject tells of its call. Raises `ProtocolError` when it is none of ours."""
    key = Address("call", address.app, address.function, (address.call,))
    fresh = _Tally(Target(address.app, address.function), address.call)
    note = address.rest[-1]
    if address.kind in ("job", "delayed"):
        tallies.setdefault(key, fresh).queued = True
    elif address.kind == "dead":
        failed = address.index >= 0  # any that is an index at all
        tallies.setdefault(key, fresh).failed += failed
    elif note == "cancelled":
        tallies.setdefault(key, fresh).cancelled = True
    elif note == "size":
        tallies.setdefault(key, fresh).sized = True
    elif len(address.rest) == 2 and is_number(note, MAX_INDEX):
        tallies.setdefault(key, fresh).indexes.append(int(note))


def _some(indexes: Sequence[int]) -> Sequence[int]:
    """The first and the last of many."""
    ordered = sorted(indexes)
    return ordered if len(ordered) <= LOOKED_AT else [*ordered[: LOOKED_AT // 2], *ordered[-LOOKED_AT // 2 :]]


def _answer(message: Message) -> Answer:
    return read_answer(message.headers, b"")


def _summary(tally: _Tally) -> CallSummary:
    if tally.cancelled:
        state = "cancelled"
    elif tally.queued:
        state = "queued"
    else:
        state = "failed" if tally.failed else "done"
    return CallSummary(
        id=f"{tally.target.label}.{tally.call}", app=tally.target.app, function=tally.target.function, state=state,
        results=len(tally.indexes), failed=tally.failed, inputs=tally.inputs, queued_at=tally.made,
        started_at=min(filter(None, (one.started for one in tally.times)), default=0.0),
        ended_at=0.0 if tally.queued else max((one.ended for one in tally.times), default=0.0),
        attempts=max((one.attempts for one in tally.times), default=0),
    )  # fmt: skip


def _info(
    target: Target, call: str, index: int, ran: Ran | None, cancelled: bool, children: tuple[InputInfo, ...]
) -> InputInfo:
    answer, times = ran or (None, Times())
    return InputInfo(
        input_id=f"{call}-{index}",
        function_call_id=f"{target.label}.{call}",
        task_id=answer.worker if answer else "",
        status=_status(answer, cancelled),
        function_name=target.function,
        module_name=answer.function.partition(":")[0] if answer else "",
        queued_at=made_at(call, time.time()),
        started_at=times.started,
        ended_at=times.ended,
        attempts=times.attempts,
        children=children,
    )


def _status(answer: Answer | None, cancelled: bool) -> InputStatus:
    if answer is None:
        return InputStatus.TERMINATED if cancelled else InputStatus.PENDING
    if answer.status is Status.OK:
        return InputStatus.SUCCESS
    return InputStatus.TIMEOUT if answer.text.startswith("FunctionTimeoutError") else InputStatus.FAILURE
