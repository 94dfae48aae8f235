"""Calls of one function that are made at the same moment travel as one message, as the inputs of a map do.

Only calls whose inputs are known to be short, so that none of them has to wait long for the others: a worker invites to
it by telling in its answers how long inputs took. Each call keeps its id. When something goes wrong with the message,
its calls go on alone: those that a worker was lost with, and those that it gave back because another one took long.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from busfn.errors import ClientClosed, Error, NoResponders, ProtocolError
from busfn.invoke.conversation import Conversation, Switchboard
from busfn.invoke.exchange import Exchange, Observe, fetch_answer
from busfn.invoke.link import Link, open_answer
from busfn.invoke.payloads import elements
from busfn.protocol.chunks import join_calls
from busfn.protocol.codecs import MSGPACK, Payload, Unreadable
from busfn.protocol.codecs.msgpack import is_array
from busfn.protocol.envelope import Answer, Call, Status
from busfn.protocol.names import Target

MOST_WORK = 0.001
"""Seconds of estimated work in one message."""
MOST_CALLS = 32
MOST_BODY = 4096
"""Bytes of arguments above which a call goes alone."""


def joinable(call: Call) -> bool:
    """Whether it may go with others: small plain arguments without names, and no caller that waits in a worker."""
    payload = call.payload
    plain = payload.content_type == MSGPACK and payload.size <= MOST_BODY and is_array(payload.body)
    return plain and not call.path


def most_together(took: float) -> int:
    """Calls for one message, when an input takes so many seconds; 1 when it is not known."""
    return max(1, min(MOST_CALLS, int(MOST_WORK / took))) if took > 0 else 1


class JointCalls:
    """A message with several calls. Loop thread only."""

    def __init__(self, board: Switchboard, target: Target, exchanges: Sequence[Exchange], observe: Observe) -> None:
        self._board = board
        self._target = target
        self._observe = observe
        self._left = dict(enumerate(exchanges))
        calls = [exchange.call for exchange in exchanges]
        body = join_calls([call.payload.body for call in calls], [call.call for call in calls])
        call = Call(call=calls[0].call, payload=Payload(content_type=MSGPACK, body=body), count=len(calls))
        self._conversation = Conversation(board, target, call, on_answer=self._on_answer, on_error=self._on_error)
        self._conversation.committed = True  # it is never sent again as it is: parts of it may have been answered

    def begin(self) -> None:
        """Send it."""
        self._conversation.begin()

    def _on_answer(self, answer: Answer, _reply: str) -> None:
        end = answer.index + max(1, answer.count)
        answered = {place: self._left.pop(place) for place in list(self._left) if answer.index <= place < end}
        if not self._left:
            self._conversation.end()
        if answer.status is Status.LOST:
            self._alone(answered)
            return
        if answer.status is Status.OK:
            self._observe(self._target, answer.took)
        if answer.payload.blob is None:
            self._settle(answer, answered)
        else:
            self._board.spawn(self._fetch(answer, answered))

    async def _fetch(self, answer: Answer, answered: dict[int, Exchange]) -> None:
        try:
            whole = await fetch_answer(self._board, answer)
        except Error as error:
            for exchange in answered.values():
                exchange.fail(error)
        else:
            self._settle(whole, answered)

    def _settle(self, answer: Answer, answered: dict[int, Exchange]) -> None:
        if answer.status is Status.OK and answer.count:
            values = _Values(self._board.link, answer)
            for place, exchange in answered.items():
                exchange.succeed(partial(values.at, place - answer.index))
        else:
            for exchange in answered.values():
                exchange.succeed(partial(open_answer, self._board.link.codecs, answer))

    def _on_error(self, error: BaseException) -> None:
        left, self._left = self._left, {}
        if not isinstance(error, ClientClosed | NoResponders):
            self._alone(left)
            return
        for exchange in left.values():
            exchange.fail(error)

    def _alone(self, exchanges: dict[int, Exchange]) -> None:
        for exchange in exchanges.values():
            exchange.begin()


class _Values:
    """The values of one answer, decoded by whoever opens the first: decoding may run users' code."""

    __slots__ = ("_answer", "_link", "_values")

    def __init__(self, link: Link, answer: Answer) -> None:
        self._link = link
        self._answer = answer
        self._values: list[object] | None = None

    def at(self, place: int) -> object:
        """One of them; raises what `open_answer` raises."""
        if self._values is None:
            answer = self._answer
            found = elements(self._link.codecs.decode_list(answer.payload, scope=answer.scope()), answer.count)
            if found is None:
                raise ProtocolError(f"an answer announces {answer.count} values and holds something else")
            self._values = found
        value = self._values[place]
        if isinstance(value, Unreadable):
            raise value.error
        return value
