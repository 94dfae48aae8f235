"""Durable calls from the caller's side: put inputs into the queue, and find out what became of them.

Results are stored by whoever ran the input and pushed to those who wait at that moment; everybody else reads what is
stored. A waiter looks once, then waits to be woken: by the push, or by a reconnect, after which it looks again. A push
may be lost (a server that dies between storing and telling), so it looks now and then, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import TypeVar

from busfn.bus.base import Message, Outgoing, SubjectFull, Subscription
from busfn.context import CurrentInput
from busfn.errors import (
    ConnectionError,
    InvalidError,
    NotFoundError,
    OutputExpiredError,
    QueueFull,
    RemoteError,
)
from busfn.invoke.delays import is_queued, queued_at
from busfn.invoke.link import Link, open_answer
from busfn.invoke.payloads import QUEUED_TTL, fetch, hold, let_go, release_queued, stow, unqueue
from busfn.invoke.start_failures import StartFailures, not_started
from busfn.invoke.stored import keep_size, read_result, size_of
from busfn.invoke.waits import NestedWait, answer_question, refuse_endless
from busfn.protocol.border import CallId, is_call_id
from busfn.protocol.control import Cancellation, StartFailure
from busfn.protocol.envelope import Answer, Call
from busfn.protocol.names import Target, validate_function_name, validate_token
from busfn.streams import RETENTION

T = TypeVar("T")

FULL_PAUSE = 0.25
"""Seconds before a refused message is offered to a full queue again."""
LEAST_LOOK = 0.15
"""Seconds for which even ``get(timeout=0)`` looks for a stored result."""
AWAY_PATIENCE = 60.0
"""Seconds that a wait for a result goes on while the bus does not answer."""
NESTED_LOOK = 0.25
"""Seconds to the second look of a body that waits: whoever waits for it may just begin to."""
FIRST_LOOK, LAST_LOOK = 2.0, 30.0
"""Seconds between two looks of a waiter that nobody wakes: at first, and at last, when they have doubled to that."""
RETRY_PAUSE = 1.0
"""Seconds that a failed input may take from its dead letter back into the queue."""
FULL_PATIENCE = 60.0
"""Seconds after which a queue that stays full is an error."""
PAGE = 512
"""Results read at a time at most."""
FEW = 16
"""Results read at a time at least."""
PAGE_BYTES = 16 << 20
"""Bytes of results that are read at a time, but for one that is larger."""

_GONE = f"it expired (results are kept for {RETENTION / 86400:g} days), or there never was such a call"


@dataclass(frozen=True, slots=True)
class CallRef:
    """A durable call: where it was sent, and its id."""

    target: Target
    call: CallId

    def __str__(self) -> str:
        return f"{self.target.label}.{self.call}"

    @classmethod
    def parse(cls, text: str) -> CallRef:
        """Reads what ``str`` wrote; raises `InvalidError`."""
        app, _, rest = text.partition(".")
        function, _, call = rest.rpartition(".")
        if not is_call_id(call):
            raise InvalidError(f"{text!r} is no call id: it looks like app.function.0123abcd")
        return cls(Target(validate_token(app), validate_function_name(function)), CallId(call))


class Standing(Enum):
    """How far a durable call is."""

    OPEN = "open"
    """Inputs of it wait or run, or are being handed over."""
    ENDED = "ended"
    """Every input has its result."""
    CANCELLED = "cancelled"


class Durable:
    """The durable calls of a client; loop thread only."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._starts = StartFailures(link)
        self._waiters: set[asyncio.Event] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._watching_connection = False
        self._accepted = 0.0
        self.patience = FULL_PATIENCE
        """Seconds without room for anything after which handing over fails."""

    async def enqueue(self, target: Target, call: Call) -> None:
        """Put a message into the queue; on return it is stored. Waits for room; raises `QueueFull` when none comes."""
        held = await self._hold(call)
        message = self._outgoing(target, held)

        async def store() -> None:
            await self._link.bus.queues.enqueue(message.subject, message.body, message.headers, msg_id=message.msg_id)

        await self._with_room(target, [held], store)

    async def enqueue_all(self, target: Target, calls: Sequence[Call]) -> None:
        """Put messages into the queue, all or none; waits for room as `enqueue` does."""
        held = await asyncio.gather(*(self._hold(call) for call in calls))
        messages = [self._outgoing(target, call) for call in held]
        await self._with_room(target, held, partial(self._link.bus.queues.enqueue_all, messages))

    async def note_child(self, ref: CallRef, parent: CurrentInput | None) -> None:
        """Store that an input has spawned a call, for call graphs."""
        if parent is None or not parent.path:
            return
        app, _, function = parent.path[-1].partition(".")
        subject = self._link.subjects.child(app, function, parent.call, parent.index, str(ref))
        with suppress(QueueFull):  # noted before
            await self._link.bus.queues.enqueue(subject, b"")

    async def _hold(self, call: Call) -> Call:
        """The call with large arguments in the blob store, and a reference to them."""
        if call.payload.blob is not None:  # they are shared with other messages of the call
            return await hold(self._link.bus, call, str(call.index))
        reference = f"{call.call}.{call.index}"
        return replace(call, payload=await stow(self._link.bus, call.payload, ttl=QUEUED_TTL, reference=reference))

    def _outgoing(self, target: Target, call: Call) -> Outgoing:
        return Outgoing(
            subject=queued_at(self._link.subjects, target.app, target.function, call, time.time()),
            body=call.payload.body,
            headers=call.headers(),
            msg_id=f"{call.call}.{call.index}",
        )

    async def _with_room(self, target: Target, calls: Sequence[Call], store: Callable[[], Awaitable[None]]) -> None:
        """Offer messages to a full queue again and again, as long as it takes anything from us now and then."""
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:  # ends: when it is stored, or in time
            try:
                await store()
            except QueueFull as error:
                if clock() - max(began, self._accepted) > self.patience:
                    await asyncio.gather(*(let_go(self._link.bus, call) for call in calls))
                    raise _full(target, self.patience, error) from error
            else:
                self._accepted = clock()
                return
            await asyncio.sleep(FULL_PAUSE)

    async def enqueue_once(self, target: Target, call: Call) -> None:
        """`enqueue`, unless the call is queued, runs, or has ended already."""
        subjects, ref = self._link.subjects, CallRef(target, call.call)
        if await is_queued(self._link.bus, subjects, target.app, target.function, call.call):
            return
        places = (
            ("RES", self._result(ref, call.index)),
            ("RES", subjects.cancelled(target.app, target.function, ref.call)),
        )
        for stream, subject in places:
            if await self._latest(stream, subject) is not None:
                return
        await self.enqueue(target, call)

    async def note_size(self, ref: CallRef, inputs: int, not_before: int = 0) -> None:
        """Store how many inputs a call has, also for when it starts late (unix milliseconds)."""
        await keep_size(self._link, ref.target, ref.call, inputs, not_before / 1000 - time.time())

    async def size(self, ref: CallRef) -> int:
        """How many inputs a call has."""
        return await size_of(self._link, ref.target, ref.call)

    async def result(
        self, ref: CallRef, index: int, timeout: float | None, wait: NestedWait | None = None
    ) -> Callable[[], object]:
        """A thunk that gives the result or raises what the body raised; ``wait`` tells of the body that waits for it.

        Raises the builtin `TimeoutError` when there is none within ``timeout`` seconds, `OutputExpiredError` when none
        can come any more, `RemoteError` when the call was cancelled, `ServiceError` while its function's workers do not
        start: it is still queued then, `ExecutionError` when the ``wait`` could not end.
        """
        end = None if timeout is None else asyncio.get_running_loop().time() + timeout
        async with asyncio.timeout(None if timeout is None else max(timeout, LEAST_LOOK)):
            answer = await self._patiently(lambda: self._look(ref, index), max(timeout or 0.0, AWAY_PATIENCE))
        if answer is None:
            async with asyncio.timeout_at(end):
                answer = await self._wait(ref, index, wait)
        return partial(open_answer, self._link.codecs, answer)

    async def page(
        self, ref: CallRef, start: int, end: int, most: int = PAGE, wait: NestedWait | None = None
    ) -> list[Callable[[], object]]:
        """Results of consecutive inputs, as many as there are in a row, but at least the first: waits for that one.

        No more than ``most``, and no more than `PAGE_BYTES` of them.
        """
        row = await self._patiently(lambda: self._row(ref, range(start, min(end, start + most))))
        if not row and most > FEW:  # those that fitted into the answer may be others
            row = await self._patiently(lambda: self._row(ref, range(start, min(end, start + FEW))))
        return [partial(open_answer, self._link.codecs, answer) for answer in row] or [
            await self.result(ref, start, None, wait)
        ]

    async def standing(self, ref: CallRef) -> Standing:
        """How far a call is. Raises `NotFoundError` when nothing is known of it."""
        subjects, queues, target = self._link.subjects, self._link.bus.queues, ref.target
        if await is_queued(self._link.bus, subjects, target.app, target.function, ref.call):
            return Standing.OPEN
        found = await queues.subjects(subjects.stream("RES"), subjects.stored(target.app, target.function, ref.call))
        notes = {subject.rpartition(".")[2] for subject in found}
        if "cancelled" in notes:
            return Standing.CANCELLED
        if notes:
            results = sum(map(str.isdigit, notes))
            return Standing.ENDED if results >= await self.size(ref) else Standing.OPEN
        if await queues.subjects(subjects.stream("DEAD"), subjects.dead(target.app, target.function, ref.call, "*")):
            return Standing.OPEN  # it is being retried, or its results have expired
        raise NotFoundError(
            f"the call {ref} is not known in environment {subjects.env!r}: {_GONE}. Check the id (`busfn call list`"
            " shows what there is), the environment (--env or BUSFN_ENV) and the bus (BUSFN_URL)"
        )

    async def stop(self, ref: CallRef, *, terminate: bool) -> Standing:
        """`cancel` a call unless it has ended; returns how far it was. Raises `NotFoundError`."""
        before = await self.standing(ref)
        if before is not Standing.ENDED:  # one that was cancelled, too: that may have been cut short, or was milder
            await self.cancel(ref, terminate=terminate)
        return before

    async def cancel(self, ref: CallRef, *, terminate: bool) -> None:
        """Take what was not started out of the queue, and let everybody know."""
        bus, subjects, target = self._link.bus, self._link.subjects, ref.target
        with suppress(SubjectFull):  # it was cancelled before
            await bus.queues.enqueue(subjects.cancelled(target.app, target.function, ref.call), b"")
        await unqueue(bus, subjects, target.app, target.function, ref.call)
        # Before its arguments go, so that a worker that just fetches them knows why they are gone.
        bus.publish(subjects.control(target.app, target.function), Cancellation(ref.call, terminate).encode())
        await release_queued(bus, ref.call)

    async def _patiently(self, work: Callable[[], Awaitable[T]], patience: float = AWAY_PATIENCE) -> T:
        """A call lives on while the bus is away: whoever waits for it tries again."""
        deadline = asyncio.get_running_loop().time() + patience
        while True:  # ends: with an answer, or in time
            try:
                return await work()
            except ConnectionError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(FULL_PAUSE)

    async def _wait(self, ref: CallRef, index: int, wait: NestedWait | None) -> Answer:
        woken = asyncio.Event()
        self._watch_connection()
        self._waiters.add(woken)
        subject = self._link.subjects.live(ref.target.app, ref.target.function, ref.call)
        ends = (f".{index}", ".cancelled")

        def on_push(message: Message) -> None:
            if message.subject.endswith(ends):
                woken.set()
            elif wait is not None:
                answer_question(self._link, wait, message)

        failures: list[StartFailure] = []

        def on_failure(failure: StartFailure) -> None:
            failures.append(failure)
            woken.set()

        unwatch = self._starts.watch(ref.target, on_failure)
        push: Subscription | None = None
        try:
            push = await self._patiently(lambda: self._link.bus.subscribe(subject, on_push))
            pause = FIRST_LOOK if wait is None else NESTED_LOOK
            while (answer := await self._patiently(lambda: self._look(ref, index))) is None:
                if failures:
                    raise not_started(str(ref), ref.target, failures[-1])
                if wait is not None:
                    await refuse_endless(self._link, wait)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await woken.wait()
                woken.clear()
                pause = min(2 * pause, LAST_LOOK)
            return answer
        finally:
            unwatch()
            self._waiters.discard(woken)
            if push is not None:
                self._leave(push)

    def _leave(self, push: Subscription) -> None:
        """Without waiting for the server: whoever has the result, or has no time left, wants to go on."""
        task = asyncio.get_running_loop().create_task(push.leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _watch_connection(self) -> None:
        """What was pushed while we were disconnected is only stored: look again."""
        if not self._watching_connection:
            self._watching_connection = True
            self._link.bus.on_reconnect(self._wake_all)

    def _wake_all(self) -> None:
        for woken in self._waiters:
            woken.set()

    async def _look(self, ref: CallRef, index: int) -> Answer | None:
        """The stored result; None while the call is queued or runs."""
        target = ref.target
        for last in (False, True):
            answer, queued = await self._state(ref, index)
            if answer is not None or queued:
                return answer
            letter = self._link.subjects.dead(target.app, target.function, ref.call, index)
            if not last and await self._latest("DEAD", letter) is not None:
                await asyncio.sleep(RETRY_PAUSE)  # it may be being retried: its failure is gone, it is queued next
        raise OutputExpiredError(
            f"there is no result of {ref} (input {index}) in environment {self._link.subjects.env!r}, and it is not"
            f" queued: {_GONE}. Check the id, the environment (--env or BUSFN_ENV) and the bus (BUSFN_URL)"
        )

    async def _state(self, ref: CallRef, index: int) -> tuple[Answer | None, bool]:
        """The stored result, and whether one may come. Workers store first, then take out of the queue."""
        subjects, target = self._link.subjects, ref.target
        answer = await self._stored(ref, index)
        if answer is not None:
            return answer, False
        if await is_queued(self._link.bus, subjects, target.app, target.function, ref.call):
            return None, True
        if await self._latest("RES", subjects.cancelled(target.app, target.function, ref.call)) is not None:
            raise RemoteError(f"the call {ref} was cancelled")
        return await self._stored(ref, index), False

    async def _stored(self, ref: CallRef, index: int) -> Answer | None:
        stored = await self._latest("RES", self._result(ref, index))
        return None if stored is None else await self._whole(read_result(stored, ref.call, index))

    def _result(self, ref: CallRef, index: int) -> str:
        return self._link.subjects.result(ref.target.app, ref.target.function, ref.call, index)

    async def _row(self, ref: CallRef, indexes: Iterable[int]) -> list[Answer]:
        """Stored results from the first on without a gap, as far as whoever answers has them, up to `PAGE_BYTES`."""
        subjects = {index: self._result(ref, index) for index in indexes}
        stream = self._link.subjects.stream("RES")
        found = await self._link.bus.queues.latest_each(stream, list(subjects.values()), most_bytes=PAGE_BYTES)
        row = leading(
            read_result(stored, ref.call, index) if (stored := found.get(subject)) else None
            for index, subject in subjects.items()
        )
        large = [number for number, answer in enumerate(row) if answer.payload.blob is not None]
        whole = await asyncio.gather(*(self._whole(row[number]) for number in large))
        for number, answer in zip(large, whole, strict=True):
            row[number] = answer
        return row

    async def _whole(self, answer: Answer) -> Answer:
        return replace(answer, payload=await fetch(self._link.bus, answer.payload))

    async def _latest(self, stream: str, subject: str) -> Message | None:
        return await self._link.bus.queues.latest(self._link.subjects.stream(stream), subject)


def leading(answers: Iterable[Answer | None], most_bytes: int = PAGE_BYTES) -> list[Answer]:
    """Answers up to the first gap, and up to so many bytes with what is in blobs; but the first whatever its size."""
    row: list[Answer] = []
    size = 0
    for answer in answers:
        if answer is None:
            break
        size += len(answer.payload.body) + (answer.payload.blob.size if answer.payload.blob else 0)
        if row and size > most_bytes:
            break
        row.append(answer)
    return row


def _full(target: Target, patience: float, error: QueueFull) -> QueueFull:
    return QueueFull(
        f"{target.label}: the queue took nothing for {patience:g} s, because it is full ({error}). Start more workers,"
        " hand over later, or raise the limit of its stream"
    )
