"""`remote`: one request, one answer; short calls that are made at the same moment travel together."""

from __future__ import annotations

from busfn.invoke.conversation import Switchboard
from busfn.invoke.exchange import Exchange
from busfn.invoke.joint import JointCalls, joinable, most_together
from busfn.protocol.envelope import Call
from busfn.protocol.names import Target
from busfn.sync import Pending


class Direct:
    """Single calls that wait for their answer."""

    def __init__(self, board: Switchboard) -> None:
        self._board = board
        self._portal = board.link.portal
        self._took: dict[Target, float] = {}
        """Seconds that inputs of functions took whose calls may go together."""
        self._waiting: dict[Target, list[Exchange]] = {}

    def start(self, target: Target, call: Call) -> Pending[object]:
        """Send a call from any thread; the outcome's thunk gives the value or raises what the body raised."""
        exchange = Exchange(self._board, target, call, self._observe)
        self._portal.call(self._begin if joinable(call) else Exchange.begin, exchange)
        return exchange

    def _observe(self, target: Target, took: float) -> None:
        """Learn from an answer; one that tells no time forbids to send calls together."""
        if took:
            self._took[target] = took
        else:
            self._took.pop(target, None)

    def _begin(self, exchange: Exchange) -> None:
        if exchange.target not in self._took:
            exchange.begin()
            return
        if not self._waiting:
            self._portal.loop.call_soon(self._send)
        self._waiting.setdefault(exchange.target, []).append(exchange)

    def _send(self) -> None:
        """Send what was called in this turn of the loop."""
        waiting, self._waiting = self._waiting, {}
        for target, exchanges in waiting.items():
            size = most_together(self._took.get(target, 0.0))
            for at in range(0, len(exchanges), size):
                self._send_together(target, exchanges[at : at + size])

    def _send_together(self, target: Target, exchanges: list[Exchange]) -> None:
        if len(exchanges) == 1:
            exchanges[0].begin()
        else:
            JointCalls(self._board, target, exchanges, self._observe).begin()
