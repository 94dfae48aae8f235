"""One call that waits for its answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from busfn.errors import Error, InvalidError, ProtocolError
from busfn.invoke.conversation import Conversation, Switchboard
from busfn.invoke.link import open_answer
from busfn.invoke.payloads import discard, fetch
from busfn.protocol.control import cancel_headers
from busfn.protocol.envelope import Answer, Call, Status
from busfn.protocol.names import Target
from busfn.sync import Operation

Observe = Callable[[Target, float], None]
"""Told how long an input of a function took, in seconds; 0 when its answer does not tell."""


class Exchange(Operation[Callable[[], object]]):
    """A call, and its outcome: a thunk that gives the value or raises what the body raised."""

    __slots__ = ("_board", "_conversation", "_observe", "call", "target")

    def __init__(self, board: Switchboard, target: Target, call: Call, observe: Observe) -> None:
        super().__init__(board.link.portal)
        self._board = board
        self._observe = observe
        self._conversation: Conversation | None = None
        self.target = target
        self.call = call

    def begin(self) -> None:
        """Send it alone. Loop thread only."""
        if self.over:
            return
        self._conversation = Conversation(
            self._board, self.target, self.call, on_answer=self._on_answer, on_error=self.fail
        )
        self._conversation.begin()

    def cancel(self) -> None:
        super().cancel()
        self._board.link.portal.call(self._leave)

    def _leave(self) -> None:
        if self._conversation is not None:
            self._conversation.end()

    def _on_answer(self, answer: Answer, reply: str) -> None:
        self._leave()
        if answer.status in (Status.ITEM, Status.END):
            self._refuse_items(reply)
            return
        if answer.index or answer.count:
            self.fail(ProtocolError("an answer to a single call is meant for an input of many"))
            return
        if answer.status is Status.OK:
            self._observe(self.target, answer.took)
        if answer.payload.blob is None:
            self._settle(answer)
        else:
            self._board.spawn(self._fetch(answer))

    def _refuse_items(self, reply: str) -> None:
        """It was called as a plain function, by a handle that did not know better: end its body, which streams."""
        if reply:
            self._board.link.bus.publish(reply, b"", cancel_headers())
        name = self.target.function
        self.fail(InvalidError(f"{name} is a generator function: use `{name}.remote_gen(...)`"))

    async def _fetch(self, answer: Answer) -> None:
        try:
            whole = await fetch_answer(self._board, answer)
        except Error as error:
            self.fail(error)
        else:
            self._settle(whole)

    def _settle(self, answer: Answer) -> None:
        self.succeed(partial(open_answer, self._board.link.codecs, answer))


async def fetch_answer(board: Switchboard, answer: Answer) -> Answer:
    """The answer with its large body, which is given up at the bus."""
    whole = answer.copy(payload=await fetch(board.link.bus, answer.payload))
    board.spawn(discard(board.link.bus, answer.payload))
    return whole
