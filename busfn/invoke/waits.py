"""Bodies that wait for durable calls, and waits that cannot end.

A spawned call does not know whether its maker waits for it, for that is decided later. So a body that is about to wait
asks who waits for its own call: those who do tell the functions that wait with them, outermost first.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from busfn.bus.base import Message
from busfn.context import CurrentInput
from busfn.errors import Error
from busfn.invoke.link import Link, endless
from busfn.protocol.border import is_inbox
from busfn.protocol.names import Target

PATIENCE = 0.2
"""Seconds that an answer may take; when nobody waits, the bus says so at once."""
MAX_ANSWER = 16 * 1024
"""Bytes."""


@dataclass(slots=True)
class NestedWait:
    """A body waits for a call."""

    target: Target
    """The function that is called."""
    current: CurrentInput
    """The input that waits."""
    max_containers: int | None
    """Workers that the function may have, as far as that is known."""
    callers: tuple[str, ...] = ()
    """Functions that wait for the input itself, beside those that its own path tells."""

    @property
    def path(self) -> tuple[str, ...]:
        """All functions that wait, outermost first."""
        return (*self.callers, *self.current.path)


async def refuse_endless(link: Link, wait: NestedWait) -> None:
    """Raise `ExecutionError` when all workers that could run the call wait for it."""
    if refusal := endless(wait.target, wait.path, wait.max_containers):
        raise refusal
    wait.callers = await _callers(link, wait.current)
    if refusal := endless(wait.target, wait.path, wait.max_containers):
        raise refusal


def answer_question(link: Link, wait: NestedWait, message: Message) -> None:
    """Tell who waits, if that is what was asked."""
    if message.subject.endswith(".waits") and is_inbox(message.reply):
        link.bus.publish(message.reply, "/".join(wait.path).encode())


async def _callers(link: Link, current: CurrentInput) -> tuple[str, ...]:
    """Functions that wait for an input that was spawned; none when it was not, or when they cannot be asked."""
    if len(current.path) != 1:
        return ()
    app, _, function = current.path[0].partition(".")
    with suppress(Error):
        answer = await link.bus.request(link.subjects.waits(app, function, current.call), timeout=PATIENCE)
        if 0 < len(answer.body) <= MAX_ANSWER:
            return tuple(answer.body.decode(errors="replace").split("/"))
    return ()
