"""One interactive call from its first send to its last answer, whatever is lost on the way.

Shared by `remote` (one answer) and `remote_gen` (many frames). Runs on the loop thread only; the hot path is callbacks:
one publish, one handler call, no task.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from busfn.bus.base import Channel, Message
from busfn.errors import ConnectionError, Error, InternalFailure, ServiceError
from busfn.invoke.link import Link, given_up, unserved
from busfn.invoke.liveness import Action, Liveness
from busfn.invoke.payloads import discard, spills, stow
from busfn.protocol.border import NO_CALL
from busfn.protocol.envelope import Answer, Call, Status, id_of, read_answer
from busfn.protocol.names import Target
from busfn.spec import LOST_LIMIT

UNSERVED_RETRIES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between tries while nobody serves the function: covers the moment between a crash and its replacement."""
TICK = 1.0
"""Seconds between looks at silent calls."""
ANSWERING = 2.5
"""Seconds since the last question that the bus has answered us, up to which the silence of others is theirs."""

OnAnswer = Callable[[Answer, str], None]
OnError = Callable[[BaseException], None]


class Switchboard:
    """All conversations of a client, and the clock that looks after silent ones."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._open: set[Conversation] = set()
        self._closed: Error | None = None
        self._answered = 0.0
        """When we have last asked the bus something that it has answered: what it had for us before, we have read."""
        self._asking = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.TimerHandle | None = None

    def add(self, conversation: Conversation) -> None:
        self._open.add(conversation)
        if self._closed is not None:  # it was on its way here while the client was closed
            self.link.portal.loop.call_soon(conversation.fail, self._closed)
        if self._ticker is None:
            self._answered = time.monotonic()
            self._ticker = self.link.portal.loop.call_later(TICK, self._tick)

    def remove(self, conversation: Conversation) -> None:
        self._open.discard(conversation)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run background work that must not be garbage collected."""
        task = self.link.portal.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self, error: Error) -> None:
        """Fail everything that is open, and all that comes."""
        self._closed = error
        if self._ticker is not None:
            self._ticker.cancel()
        for conversation in list(self._open):
            conversation.fail(error)

    def _tick(self) -> None:
        self._ticker = None
        if not self._open:
            return
        self._ticker = self.link.portal.loop.call_later(TICK, self._tick)
        now = time.monotonic()
        hearing = self.link.bus.connected and now - self._answered <= ANSWERING
        for conversation in list(self._open):
            try:
                conversation.check(now, hearing=hearing)
            except Exception as error:  # of this one only: the others are looked after
                conversation.fail(error)
        if not self._asking:
            self._asking = True
            self.spawn(self._ask())

    async def _ask(self) -> None:
        """Answers may lie unread, because we could not run, or not come, because the server cannot."""
        asked = time.monotonic()
        try:
            await self.link.bus.flush()
            self._answered = asked
        except Error:  # it is away
            return
        finally:
            self._asking = False


def _unheard(*_: object) -> None:
    """The conversation is over."""


class Conversation:
    """One call: sends it, resends what was lost, passes answers on, ends once."""

    __slots__ = (
        "_board", "_call", "_channel", "_link", "_liveness", "_looking", "_on_answer", "_on_error", "_target",
        "_unserved", "committed",
    )  # fmt: skip

    def __init__(
        self, board: Switchboard, target: Target, call: Call, *, on_answer: OnAnswer, on_error: OnError
    ) -> None:
        self._board = board
        self._link = board.link
        self._target = target
        self._call = call
        self._on_answer = on_answer
        self._on_error = on_error
        self._liveness = Liveness(time.monotonic())
        self._channel: Channel | None = None
        self._unserved = 0
        self._looking = False
        self.committed = False
        """Set once something of the answer was used: from then on a lost worker is an error, not a resend."""

    def begin(self) -> None:
        """Open the reply channel and send."""
        self._channel = self._link.bus.channel(self._on_message)
        self._board.add(self)
        if spills(self._link.bus, self._call.payload):
            self._spawn(self._stow_and_send())
        else:
            self._send()

    def end(self) -> None:
        """Take no more answers and clean up; harmless when repeated."""
        if self._channel is None:
            return
        self._channel.close()
        self._channel = None
        # Who listens mostly refers to us: busy callers would have much garbage to collect.
        self._on_answer = self._on_error = _unheard
        self._board.remove(self)
        if self._call.payload.blob is not None:
            self._spawn(discard(self._link.bus, self._call.payload))

    def fail(self, error: BaseException) -> None:
        """End with an error; harmless after the end."""
        if self._channel is not None:
            tell = self._on_error
            self.end()
            tell(error)

    def check(self, now: float, *, hearing: bool) -> None:
        """Act on silence; while we hear nothing at all, it says nothing."""
        if hearing:
            self._act(self._liveness.due(now))
        else:
            self._liveness.heard = now

    def _send(self) -> None:
        if self._channel is None:
            return
        subject = self._link.subjects.function(self._target.app, self._target.function)
        try:
            self._link.bus.publish(subject, self._call.payload.body, self._call.headers(), self._channel.subject)
        except Error as error:
            self.fail(error)

    async def _stow_and_send(self) -> None:
        self._call = replace(self._call, payload=await stow(self._link.bus, self._call.payload))
        self._liveness.heard = time.monotonic()
        self._send()

    def _on_message(self, message: Message) -> None:
        if message.status == "503":
            self._retry_unserved()
            return
        answer = self._read(message)
        if answer is None:
            return
        if answer.status is Status.OK:
            self._on_answer(answer, message.reply)
            return
        if answer.status is Status.UNREAD:
            self._act(self._liveness.unread(answer.sequence))
            return
        self._liveness.beat(time.monotonic(), answer.sequence)
        if answer.status is Status.LOST and not answer.count:
            self._resend_lost()
        elif answer.status is not Status.BEAT:
            self._on_answer(answer, message.reply)

    def _read(self, message: Message) -> Answer | None:
        """The answer in a message; None when it is none to this call, or cannot be read, which ends the call."""
        try:
            answer = read_answer(message.headers, message.body)
        except Error as error:
            if id_of(message.headers, NO_CALL) == self._call.call:
                self.fail(error)
            return None
        return answer if answer.call == self._call.call else None

    def _retry_unserved(self) -> None:
        if self._unserved >= len(UNSERVED_RETRIES):
            self.fail(unserved(self._target))
            return
        pause = UNSERVED_RETRIES[self._unserved]
        self._unserved += 1
        self._link.portal.loop.call_later(pause, self._send)

    def _resend_lost(self) -> None:
        crashes = self._call.crashes + 1
        if self.committed:
            self.fail(InternalFailure(f"call {self._target.label}.{self._call.call}: the worker was lost mid-stream"))
        elif crashes >= LOST_LIMIT:
            self.fail(given_up(self._target, self._call.call, crashes))
        else:
            self._call = replace(self._call, crashes=crashes)
            self._send()

    def _act(self, action: Action) -> None:
        if action is Action.RESEND and self.committed:
            self.fail(InternalFailure(f"call {self._target.label}.{self._call.call}: the stream went silent"))
        elif action is Action.RESEND:
            self._liveness.sent(time.monotonic())
            self._send()
        elif action is Action.LOOK and not self._looking:
            self._spawn(self._look())
        elif action is Action.GIVE_UP:
            self.fail(ServiceError(f"call {self._target.label}.{self._call.call}: no worker answers"))

    async def _look(self) -> None:
        self._looking = True
        try:
            found = await self._link.bus.queues.peek(self._link.subjects.stream("OVF"), self._liveness.sequence)
        except ConnectionError:  # another look will tell
            return
        finally:
            self._looking = False
        self._act(self._liveness.looked(time.monotonic(), found=found is not None))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._board.spawn(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Error as error:
            self.fail(error)
