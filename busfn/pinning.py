"""Calls on a version that somebody insists on: it is to be served before they are sent, and as long as they come."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from busfn.errors import PermissionDeniedError
from busfn.invoke.link import Link
from busfn.protocol.names import is_run_token, unpin
from busfn.registry import Registry

SURE_FOR = 3600.0
"""Seconds after which a client makes sure again; well below the days that an unused version is served on."""


class Pinning:
    """The versions that a client calls; any thread."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._sure: dict[str, float] = {}
        self._lock = threading.Lock()

    def hold(self, token: str) -> None:
        """Have the version served that the app's token names, if it names one. Waits for the bus, once an hour.

        Raises `NotFoundError` when there is no such version.
        """
        if "@" not in token or is_run_token(token):
            return
        with self._lock:
            if time.monotonic() < self._sure.get(token, 0.0):
                return
            self._link.portal.run(self._hold(*unpin(token)))
            self._sure[token] = time.monotonic() + SURE_FOR

    async def _hold(self, app: str, version: int) -> None:
        registry = Registry(self._link.bus, self._link.subjects)
        with suppress(PermissionDeniedError):  # who may only call relies on others
            await registry.stored(app, version)
            await registry.pin(app, version, time.time())
