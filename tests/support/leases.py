"""Shorter leases, for tests that wait for one to end."""

from __future__ import annotations

from dataclasses import replace

from busfn.binding import DEFAULT
from busfn.streams import consumers, streams


def shorten_leases(app: str, function: str, seconds: float) -> None:
    """Make the consumers first, as an operator may: hosts leave alone what exists. Supervisors renew every 10 s."""
    link = DEFAULT.require("a test").link
    for stream in streams(link.subjects):
        link.portal.run(link.bus.queues.ensure_stream(stream))
    for consumer in consumers(link.subjects, app, function):
        link.portal.run(link.bus.queues.ensure_consumer(replace(consumer, ack_wait=seconds)))
