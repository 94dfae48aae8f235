"""Apps of many functions: ``crowd(100)`` serves that many, all of them no-ops."""

from __future__ import annotations

import busfn


def noop(x: int) -> int:
    """What each of them runs."""
    return x


def crowd(count: int) -> busfn.App:
    """An app of ``count`` functions, each with one worker at most."""
    app = busfn.App(f"crowd{count}")
    for number in range(count):
        app.function(name=f"noop{number}", max_containers=1)(noop)
    return app
