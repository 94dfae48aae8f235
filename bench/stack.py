"""The processes behind a busfn app that runs in this process."""

from __future__ import annotations

import os

from bench.processes import children, command, descendants


def host() -> int:
    """The host process (supervisor and controller) of the app that was started last."""
    return _newest("busfn_services.host")


def server() -> int:
    """Its nats-server."""
    return children(_newest("busfn-guardian"))[0]


def workers() -> list[int]:
    """Fork server and workers of that host."""
    return descendants(host())


def _newest(text: str) -> int:
    return [pid for pid in children(os.getpid()) if text in command(pid)][-1]
