"""Inputs of durable calls that failed for good: kept as they were queued, until somebody drops or retries them."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass

from busfn.bus.base import Bus, Message
from busfn.errors import NotFoundError, ProtocolError
from busfn.ids import made_at
from busfn.invoke.link import Link
from busfn.invoke.moments import stored_at
from busfn.invoke.payloads import fetch, hold, let_go, sweep
from busfn.protocol import headers as h
from busfn.protocol.border import CallId, one_line, parse_call_id
from busfn.protocol.codecs import JSON
from busfn.protocol.envelope import Call, read_answer, read_call
from busfn.protocol.exceptions.failure import Failure
from busfn.protocol.fields import MOST_TEXT
from busfn.protocol.names import unpin
from busfn.protocol.subjects import Address
from busfn.registry import Registry

logger = logging.getLogger("busfn.deadletters")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One input that was given up."""

    app: str
    function: str
    call: str
    index: int
    reason: str
    """Class of the last error."""
    error: str
    """The last error in one line."""
    attempts: int
    crashes: int
    """Workers that were lost while running it."""
    queued_at: float = 0.0
    """When its call was made, in unix seconds; 0 when that is not known."""
    ended_at: float = 0.0
    """When it was given up, in unix seconds; 0 when that is not known."""

    @property
    def id(self) -> str:
        """Names it on the command line."""
        return f"{self.app}.{self.function}.{self.call}.{self.index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which dead letters are meant; empty fields mean all. A call may be named by its whole id, or its last part."""

    app: str = ""
    function: str = ""
    call: str = ""
    reason: str = ""

    def takes(self, letter: DeadLetter) -> bool:
        """Whether it is among them."""
        pairs = (
            (self.app, letter.app),
            (self.function, letter.function),
            (self.call.rpartition(".")[2], letter.call),
            (self.reason, letter.reason),
        )
        return all(wanted in ("", actual) for wanted, actual in pairs)


class DeadLetters:
    """The dead letters of an environment; loop thread only."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._stream = link.subjects.stream("DEAD")

    async def find(self, wanted: Filter) -> list[DeadLetter]:
        """All that the filter takes: the call first whose input was given up last, and its inputs in order."""
        subjects = await self._link.bus.queues.subjects(self._stream, self._link.subjects.all_of("dead"))
        letters = [await self._read(subject) for subject in subjects]
        found = [letter for letter in letters if letter is not None and wanted.takes(letter)]
        last: dict[str, float] = {}
        for letter in found:
            last[letter.call] = max(letter.ended_at, last.get(letter.call, 0.0))
        return sorted(found, key=lambda letter: (-last[letter.call], letter.call, letter.index))

    async def traceback(self, letter: DeadLetter) -> str:
        """The last traceback, as far as it is still kept."""
        subject = self._link.subjects.result(letter.app, letter.function, letter.call, letter.index)
        stored = await self._link.bus.queues.latest(self._link.subjects.stream("RES"), subject)
        if stored is None:
            return letter.error
        answer = read_answer(stored.headers, stored.body)
        if answer.payload.content_type == JSON:  # for a client of another kind: the line is all there is
            return letter.error
        whole = answer.copy(payload=await fetch(self._link.bus, answer.payload))
        return Failure.from_value(self._link.codecs.decode(whole.payload, scope=whole.scope())).text

    async def retry(self, letter: DeadLetter) -> None:
        """Queue the input again, under its old call: whoever waits for its result, or asks for it, gets the new one."""
        call = await self._call(letter)
        subjects, queues = self._link.subjects, self._link.bus.queues
        app, version = unpin(letter.app)
        if version:
            await Registry(self._link.bus, subjects).pin(app, version, time.time())
        await queues.purge(
            subjects.stream("RES"), subjects.result(letter.app, letter.function, letter.call, letter.index)
        )
        again = await hold(self._link.bus, call.copy(attempt=1, crashes=0, not_before=0, deadline=0))
        subject = subjects.job(letter.app, letter.function, letter.call)
        await queues.enqueue(subject, again.payload.body, again.headers())
        await self.drop(letter)

    async def drop(self, letter: DeadLetter) -> None:
        """Forget it; its stored failure stays."""
        await drop_letter(self._link.bus, self._stream, self._subject(letter))
        await sweep(self._link.bus, self._link.subjects, letter.app, letter.function, letter.call)

    def _subject(self, letter: DeadLetter) -> str:
        return self._link.subjects.dead(letter.app, letter.function, letter.call, letter.index)

    async def _call(self, letter: DeadLetter) -> Call:
        stored = await self._link.bus.queues.latest(self._stream, self._subject(letter))
        if stored is None:
            raise NotFoundError(f"there is no dead letter {letter.id} any more")
        return read_call(stored.headers, stored.body, call=parse_call_id("the call's id", letter.call))

    async def _read(self, subject: str) -> DeadLetter | None:
        stored = await self._link.bus.queues.latest(self._stream, subject)
        if stored is None:  # dropped just now
            return None
        try:
            return _letter(self._link.subjects.parse(subject), stored)
        except ProtocolError as error:
            logger.warning("a dead letter is left out, because its subject is none of ours: %s", error)
            return None


async def drop_letter(bus: Bus, stream: str, subject: str) -> None:
    """Forget a dead letter, and the arguments that were kept for it."""
    stored = await bus.queues.latest(stream, subject)
    if stored is not None:
        await bus.queues.purge(stream, subject)
        with suppress(ProtocolError):  # what cannot be read refers to nothing
            await let_go(bus, read_call(stored.headers, b"", call=CallId("0")))


def _letter(address: Address, stored: Message) -> DeadLetter:
    """Whoever may publish may have written anything; what cannot be read is shown with the reason, and can be dropped.

    Raises `ProtocolError` when not even its place can be read.
    """
    reason, text = stored.headers.get(h.REASON, ""), stored.headers.get(h.ERROR, "")
    attempts = crashes = 0
    try:
        call = read_call(stored.headers, b"", call=address.call)
        attempts, crashes = call.attempt, call.crashes
    except ProtocolError as error:
        reason, text = type(error).__name__, f"it cannot be read: {error}"
    return DeadLetter(
        app=address.app,
        function=address.function,
        call=address.rest[0],
        index=address.index,
        reason=one_line(reason, MOST_TEXT),
        error=one_line(text, MOST_TEXT),
        attempts=attempts,
        crashes=crashes,
        queued_at=made_at(address.rest[0], time.time()),
        ended_at=stored_at(stored.headers),
    )
