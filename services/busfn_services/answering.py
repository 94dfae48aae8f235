"""The one way to answer a message: to an inbox, or not at all.

Whoever asks says where the answer shall go, and the server does not check that against what they may publish to. So no
process of ours publishes to a reply subject but through here.
"""

from __future__ import annotations

from busfn.bus.base import NO_HEADERS, Bus, Headers, Message
from busfn.protocol.border import Inbox, is_inbox


def answer(bus: Bus, message: Message, body: bytes = b"", headers: Headers = NO_HEADERS) -> None:
    """Answer whoever has sent a message; one that names no inbox is not answered."""
    if is_inbox(message.reply):
        send(bus, Inbox(message.reply), body, headers)


def send(bus: Bus, inbox: Inbox, body: bytes = b"", headers: Headers = NO_HEADERS, reply: str = "") -> None:
    """Send a part of an answer, where `answer` would; ``reply`` is where the caller may react to it."""
    if inbox:
        bus.publish(inbox, body, headers, reply)
