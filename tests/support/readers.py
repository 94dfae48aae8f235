"""The consumer that bus tests read with."""

from __future__ import annotations

from busfn.bus.base import ConsumerSpec


def reader(stream: str, *, subject: str = "", ack_wait: float = 30.0) -> ConsumerSpec:
    """A consumer ``c`` of everything in a stream that keeps ``<stream>.>``, or of a subject of it."""
    return ConsumerSpec(stream=stream, name="c", subject=subject or f"{stream}.>", ack_wait=ack_wait)
