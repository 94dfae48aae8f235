"""`remote`: one request, one answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import replace
from functools import partial

from busfn.errors import Error
from busfn.invoke.conversation import Conversation, Switchboard
from busfn.invoke.link import Target, open_answer
from busfn.invoke.payloads import discard, fetch
from busfn.protocol.envelope import Answer, Call
from busfn.sync import Pending


class Direct:
    """Single calls that wait for their answer."""

    def __init__(self, board: Switchboard) -> None:
        self._board = board

    def start(self, target: Target, call: Call) -> Pending[object]:
        """Send a call from any thread; the future's thunk gives the value or raises what the body raised."""
        exchange = _Exchange(self._board, target, call)
        self._board.link.portal.call(exchange.conversation.begin)
        return exchange.future


class _Exchange:
    """A conversation whose first answer settles a future."""

    def __init__(self, board: Switchboard, target: Target, call: Call) -> None:
        self._board = board
        self.future: Pending[object] = Future()
        self.future.add_done_callback(self._on_done)
        self.conversation = Conversation(board, target, call, on_answer=self._on_answer, on_error=self._on_error)

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
            self._on_error(error)
            return
        self._settle(whole)
        await discard(bus, answer.payload)

    def _settle(self, answer: Answer) -> None:
        self._finish(self.future.set_result, partial(open_answer, self._board.link.codecs, answer))

    def _on_error(self, error: BaseException) -> None:
        self._finish(self.future.set_exception, error)

    def _finish(self, setter: Callable[..., None], outcome: object) -> None:
        try:
            setter(outcome)
        except InvalidStateError:  # the caller gave up a moment ago
            return

    def _on_done(self, future: Pending[object]) -> None:
        if future.cancelled():
            self._board.link.portal.call(self.conversation.end)
