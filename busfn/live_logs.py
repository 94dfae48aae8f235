"""What the workers of an app print, as it comes: lines, and the states of lines that are drawn again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from busfn.bus.base import Message
from busfn.errors import ProtocolError
from busfn.invoke.link import Link
from busfn.printable import text_lines
from busfn.protocol import headers

LogPrinter = Callable[[str, str], None]
"""Called with a function's name and one line that it printed; from the loop thread."""
StatePrinter = Callable[[str, str, str], None]
"""Called with a name for the line, the function and the line's state; an empty state ends it."""

MAX_STATES = 64
"""Lines that are drawn again at the same time; of more, only the final states are shown."""


@dataclass(frozen=True, slots=True)
class LiveLogs:
    """Follows the output of apps on a bus; loop thread only."""

    link: Link
    on_line: LogPrinter
    on_state: StatePrinter | None = None
    answered: bool = False
    """Whether to show failures that their callers have been answered with."""

    async def follow(self, app: str) -> None:
        """Pass on what the app's workers print from now on."""
        drawn: set[str] = set()
        await self.link.bus.subscribe(self.link.subjects.logs(app), lambda message: self._on_text(message, drawn))
        if self.on_state is not None:
            await self.link.bus.subscribe(
                self.link.subjects.states(app), lambda message: self._on_state(message, drawn)
            )

    def _on_text(self, message: Message, drawn: set[str]) -> None:
        function = self._function(message)
        if function is None or (headers.ANSWERED in message.headers and not self.answered):
            return
        key = _key(message)
        if self.on_state is not None and key in drawn:
            drawn.remove(key)
            self.on_state(key, function, "")
        for line in text_lines(message.body):
            self.on_line(function, line)

    def _on_state(self, message: Message, drawn: set[str]) -> None:
        function, key = self._function(message), _key(message)
        if function is None or self.on_state is None or (key not in drawn and len(drawn) >= MAX_STATES):
            return
        drawn.add(key)
        self.on_state(key, function, " ".join(text_lines(message.body)))

    def _function(self, message: Message) -> str | None:
        try:
            return self.link.subjects.parse(message.subject).function
        except ProtocolError:  # of another client
            return None


def _key(message: Message) -> str:
    """The stream of a worker that prints."""
    return f"{message.headers.get(headers.WORKER, '')} {message.headers.get(headers.OUTPUT, '')}"
