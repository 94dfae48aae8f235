"""`remote`: one request, one answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from busfn.errors import Error
from busfn.invoke.conversation import Conversation, Switchboard
from busfn.invoke.link import open_answer
from busfn.invoke.payloads import discard, fetch
from busfn.protocol.envelope import Answer, Call
from busfn.protocol.names import Target
from busfn.sync import Operation, Pending


class Direct:
    """Single calls that wait for their answer."""

    def __init__(self, board: Switchboard) -> None:
        self._board = board

    def start(self, target: Target, call: Call) -> Pending[object]:
        """Send a call from any thread; the outcome's thunk gives the value or raises what the body raised."""
        exchange = _Exchange(self._board, target, call)
        self._board.link.portal.call(exchange.conversation.begin)
        return exchange


class _Exchange(Operation[Callable[[], object]]):
    """A conversation whose first answer is the outcome."""

    __slots__ = ("_board", "conversation")

    def __init__(self, board: Switchboard, target: Target, call: Call) -> None:
        super().__init__(board.link.portal)
        self._board = board
        self.conversation = Conversation(board, target, call, on_answer=self._on_answer, on_error=self.fail)

    def cancel(self) -> None:
        super().cancel()
        self._board.link.portal.call(self.conversation.end)

    def _on_answer(self, answer: Answer, _reply: str) -> None:
        self.conversation.end()
        if answer.payload.blob is None:
            self._settle(answer)
        else:
            self._board.spawn(self._fetch(answer))

    async def _fetch(self, answer: Answer) -> None:
        bus = self._board.link.bus
        try:
            whole = replace(answer, payload=await fetch(bus, answer.payload))
        except Error as error:
            self.fail(error)
            return
        self._settle(whole)
        await discard(bus, answer.payload)

    def _settle(self, answer: Answer) -> None:
        self.succeed(partial(open_answer, self._board.link.codecs, answer))
