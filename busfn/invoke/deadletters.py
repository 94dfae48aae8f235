"""Inputs of durable calls that failed for good: kept as they were queued, until somebody drops or retries them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from busfn.bus.base import Bus
from busfn.errors import NotFoundError
from busfn.invoke.link import Link
from busfn.invoke.payloads import fetch, hold, let_go, sweep
from busfn.protocol import headers as h
from busfn.protocol.codecs import JSON
from busfn.protocol.envelope import Call, read_answer, read_call
from busfn.protocol.exceptions.failure import Failure
from busfn.protocol.names import unpin
from busfn.registry import Registry


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

    @property
    def id(self) -> str:
        """Names it on the command line."""
        return f"{self.app}.{self.function}.{self.call}.{self.index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which dead letters are meant; empty fields mean all."""

    app: str = ""
    function: str = ""
    call: str = ""
    reason: str = ""

    def takes(self, letter: DeadLetter) -> bool:
        """Whether it is among them."""
        pairs = (
            (self.app, letter.app),
            (self.function, letter.function),
            (self.call, letter.call),
            (self.reason, letter.reason),
        )
        return all(wanted in ("", actual) for wanted, actual in pairs)


class DeadLetters:
    """The dead letters of an environment; loop thread only."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._stream = link.subjects.stream("DEAD")

    async def find(self, wanted: Filter) -> list[DeadLetter]:
        """All that the filter takes, oldest call first."""
        subjects = await self._link.bus.queues.subjects(self._stream, self._link.subjects.all_of("dead"))
        letters = [await self._read(subject) for subject in subjects]
        found = [letter for letter in letters if letter is not None and wanted.takes(letter)]
        return sorted(found, key=lambda letter: (letter.call, letter.index))

    async def traceback(self, letter: DeadLetter) -> str:
        """The last traceback, as far as it is still kept."""
        subject = self._link.subjects.result(letter.app, letter.call, letter.index)
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
        await queues.purge(subjects.stream("RES"), subjects.result(letter.app, letter.call, letter.index))
        again = await hold(self._link.bus, call.copy(attempt=1, crashes=0, not_before=0))
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
        return read_call(stored.headers, stored.body, reply="", call=letter.call)

    async def _read(self, subject: str) -> DeadLetter | None:
        stored = await self._link.bus.queues.latest(self._stream, subject)
        if stored is None:  # dropped just now
            return None
        address = self._link.subjects.parse(subject)
        call = read_call(stored.headers, b"", reply="", call=address.rest[0])
        return DeadLetter(
            app=address.app,
            function=address.function,
            call=address.rest[0],
            index=int(address.rest[1]),
            reason=stored.headers.get(h.REASON, ""),
            error=stored.headers.get(h.ERROR, ""),
            attempts=call.attempt,
            crashes=call.crashes,
        )


async def drop_letter(bus: Bus, stream: str, subject: str) -> None:
    """Forget a dead letter, and the arguments that were kept for it."""
    stored = await bus.queues.latest(stream, subject)
    if stored is not None:
        await bus.queues.purge(stream, subject)
        await let_go(bus, read_call(stored.headers, b"", reply="", call="0"))
