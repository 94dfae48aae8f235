"""What is known of durable calls as a whole: the graph of who spawned whom, and the list of all calls.

Everything is read from what is stored anyway, but for a note that a body leaves when it spawns another call.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from busfn.bus.base import Message
from busfn.errors import NotFoundError
from busfn.invoke.link import Link
from busfn.protocol.envelope import Answer, Status, read_answer
from busfn.protocol.names import Target

MOST_INPUTS = 1000
"""Inputs of one call that a graph shows."""
DEEPEST = 32
PAGE = 500


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


@dataclass(slots=True)
class _Tally:
    app: str
    call: str
    function: str = ""
    queued: bool = False
    cancelled: bool = False
    indexes: list[int] = field(default_factory=list[int])
    failed: int = 0


class Graphs:
    """Reads graphs and lists; loop thread only."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._results = link.subjects.stream("RES")

    async def of(self, target: Target, call: str, depth: int = 0) -> list[InputInfo]:
        """The inputs of a call, oldest first, with everything below them."""
        subjects, queues = self._link.subjects, self._link.bus.queues
        size = await queues.latest(self._results, subjects.size(target.app, call))
        count = min(MOST_INPUTS, 1 if size is None else int(size.body))
        answers = await self._answers(target.app, call, count)
        cancelled = await queues.latest(self._results, subjects.cancelled(target.app, call)) is not None
        children = await self._children(target.app, call)
        return [
            _info(target, call, index, answers.get(index), cancelled, await self._below(children[index], depth))
            for index in range(count)
        ]

    async def calls(self, app: str, function: str, limit: int) -> list[CallSummary]:
        """The newest calls, newest first; empty texts mean all."""
        tallies = await self._tally(app)
        newest = sorted(tallies.values(), key=lambda one: one.call, reverse=True)
        await self._name(newest[:limit] if not function else newest)
        return [_summary(one) for one in newest if function in ("", one.function)][:limit]

    async def _below(self, children: Iterable[tuple[Target, str]], depth: int) -> tuple[InputInfo, ...]:
        if depth >= DEEPEST:
            return ()
        found = await asyncio.gather(*(self.of(target, call, depth + 1) for target, call in children))
        return tuple(info for one in found for info in one)

    async def _children(self, app: str, call: str) -> Mapping[int, list[tuple[Target, str]]]:
        """By input, the calls that it has spawned, in the order of their ids, which is that of time."""
        pattern = self._link.subjects.child(app, call, "*", ">")
        found: defaultdict[int, list[tuple[Target, str]]] = defaultdict(list)
        for subject in await self._link.bus.queues.subjects(self._results, pattern):
            index, child_app, *function, child = subject.split(".")[6:]
            found[int(index)].append((Target(child_app, ".".join(function)), child))
        for children in found.values():
            children.sort(key=lambda one: one[1])
        return found

    async def _answers(self, app: str, call: str, count: int) -> dict[int, Answer]:
        subjects = [self._link.subjects.result(app, call, index) for index in range(count)]
        found = await self._read(subjects)
        return {answer.index: answer for answer in map(_answer, found.values())}

    async def _tally(self, app: str) -> dict[tuple[str, str], _Tally]:
        tallies: dict[tuple[str, str], _Tally] = {}

        def of(one: str, call: str) -> _Tally:
            return tallies.setdefault((one, call), _Tally(one, call))

        subjects, wanted = self._link.subjects, app or "*"
        for subject in await self._link.bus.queues.subjects(self._results, subjects.results(wanted)):
            _count(of, subject)
        for kind, stream in (("job", "JOBS"), ("delayed", "DELAYED"), ("dead", "DEAD")):
            pattern = f"{subjects.all_of(kind).removesuffix('>')}{wanted}.>"
            for subject in await self._link.bus.queues.subjects(subjects.stream(stream), pattern):
                address = subjects.parse(subject)
                tally = of(address.app, address.rest[0])
                tally.function = address.function
                tally.queued = tally.queued or kind != "dead"
                tally.failed += kind == "dead"
        return tallies

    async def _name(self, tallies: Iterable[_Tally]) -> None:
        """The function of a call that has ended stands in its results."""
        nameless = {self._link.subjects.result(t.app, t.call, t.indexes[0]): t for t in tallies if t.indexes}
        for subject, message in (await self._read([s for s, t in nameless.items() if not t.function])).items():
            nameless[subject].function = _answer(message).function.partition(":")[2]

    async def _read(self, subjects: list[str]) -> dict[str, Message]:
        found: dict[str, Message] = {}
        for start in range(0, len(subjects), PAGE):
            try:
                found |= await self._link.bus.queues.latest_each(self._results, subjects[start : start + PAGE])
            except NotFoundError:  # no durable call was ever made here
                return found
        return found


def _count(of: Callable[[str, str], _Tally], subject: str) -> None:
    _, _, _, app, call, *rest = subject.split(".")
    if rest == ["cancelled"]:
        of(app, call).cancelled = True
    elif len(rest) == 1 and rest[0].isdigit():
        of(app, call).indexes.append(int(rest[0]))


def _answer(message: Message) -> Answer:
    return read_answer(message.headers, b"")


def _summary(tally: _Tally) -> CallSummary:
    if tally.cancelled:
        state = "cancelled"
    elif tally.queued:
        state = "queued"
    else:
        state = "failed" if tally.failed else "done"
    name = tally.function or "?"
    return CallSummary(
        id=f"{tally.app}.{name}.{tally.call}", app=tally.app, function=name, state=state,
        results=len(tally.indexes), failed=tally.failed,
    )  # fmt: skip


def _info(
    target: Target, call: str, index: int, answer: Answer | None, cancelled: bool, children: tuple[InputInfo, ...]
) -> InputInfo:
    return InputInfo(
        input_id=f"{call}-{index}",
        function_call_id=f"{target.label}.{call}",
        task_id=answer.worker if answer else "",
        status=_status(answer, cancelled),
        function_name=target.function,
        module_name=answer.function.partition(":")[0] if answer else "",
        children=children,
    )


def _status(answer: Answer | None, cancelled: bool) -> InputStatus:
    if answer is None:
        return InputStatus.TERMINATED if cancelled else InputStatus.PENDING
    if answer.status is Status.OK:
        return InputStatus.SUCCESS
    return InputStatus.TIMEOUT if answer.text.startswith("FunctionTimeoutError") else InputStatus.FAILURE
