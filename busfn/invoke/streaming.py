"""`remote_gen`: items arrive while the remote body runs, in order, each once, with bounded memory on both sides."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import replace
from typing import Any

from busfn.errors import InvalidError, ProtocolError
from busfn.invoke.conversation import Conversation, Switchboard
from busfn.invoke.link import Link, open_failure
from busfn.invoke.mailbox import Mailbox
from busfn.invoke.payloads import discard, elements, fetch
from busfn.protocol.border import NO_INBOX, inbox_or_none
from busfn.protocol.control import cancel_headers, credit_headers
from busfn.protocol.envelope import Answer, Call, Status
from busfn.protocol.names import Target
from busfn.protocol.stream import Receiver

Frame = tuple[Answer, str]


class Stream:
    """One running remote generator, seen from its consumer."""

    def __init__(self, board: Switchboard, target: Target, call: Call) -> None:
        self._link = board.link
        self._function = target.function
        self._mailbox: Mailbox[Frame | BaseException] = Mailbox(board.link.portal)
        self._receiver = Receiver()
        self._worker = NO_INBOX
        self._over = False
        self._conversation = Conversation(board, target, call, on_answer=self._on_answer, on_error=self._mailbox.put)

    def iterate(self) -> Generator[Any, None, None]:
        """Items for a thread; closing the generator closes the remote one."""
        self._link.portal.call(self._conversation.begin)
        try:
            while not self._receiver.done:
                with self._link.nesting:
                    frame = self._mailbox.get()
                yield from self._open(self._fetch(frame))
                self._grant()
        finally:
            self._link.portal.call(self._finish)

    async def aiterate(self) -> AsyncGenerator[Any, None]:
        """Items for a coroutine."""
        self._link.portal.call(self._conversation.begin)
        try:
            while not self._receiver.done:  # ends: with the generator; the caller's
                with self._link.nesting:
                    frame = await self._mailbox.aget()
                for item in self._open(await self._afetch(frame)):
                    yield item
                self._grant()
        finally:
            self._link.portal.call(self._finish)

    def _on_answer(self, answer: Answer, reply: str) -> None:
        self._conversation.committed = True
        self._worker = inbox_or_none(reply) or self._worker
        self._over = answer.status is not Status.ITEM
        self._mailbox.put((answer, reply))

    def _fetch(self, frame: Frame | BaseException) -> Answer:
        answer = _answer_of(frame)
        if answer.payload.blob is None:
            return answer
        return self._link.portal.run(_fetch(self._link, answer))

    async def _afetch(self, frame: Frame | BaseException) -> Answer:
        answer = _answer_of(frame)
        if answer.payload.blob is None:
            return answer
        return await self._link.portal.submit(_fetch(self._link, answer))

    def _open(self, answer: Answer) -> Sequence[Any]:
        if answer.status is Status.END:
            self._receiver.end(answer.count)
            return ()
        if answer.status is Status.OK:
            raise InvalidError(f"{self._function} is not a generator function: use `{self._function}.remote(...)`")
        if answer.status is not Status.ITEM:
            raise open_failure(self._link.codecs, answer)
        skip = self._receiver.accept(answer.index, answer.count, answer.payload.size)
        items = elements(self._link.codecs.decode(answer.payload, scope=answer.scope()), answer.count)
        if items is None:
            raise ProtocolError(f"a frame announces {answer.count} items and holds something else")
        return items[skip:]

    def _grant(self) -> None:
        grant = self._receiver.grant_due()
        if grant != (0, 0) and self._worker:
            self._link.portal.call(self._control, credit_headers(*grant))

    def _finish(self) -> None:
        if not self._over and self._worker:
            self._control(cancel_headers())
        self._conversation.end()

    def _control(self, headers: dict[str, str]) -> None:
        self._link.bus.publish(self._worker, b"", headers)


def _answer_of(frame: Frame | BaseException) -> Answer:
    if isinstance(frame, BaseException):
        raise frame
    return frame[0]


async def _fetch(link: Link, answer: Answer) -> Answer:
    whole = replace(answer, payload=await fetch(link.bus, answer.payload))
    await discard(link.bus, answer.payload)
    return whole
