"""Versions of apps as a controller knows them: each is read once, for it never changes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from busfn.deployment import Deployment
from busfn.errors import NotFoundError, ProtocolError
from busfn.registry import Registry

READ_AGAIN = 60.0
"""Seconds after which a version that could not be read is read again."""

logger = logging.getLogger("busfn.controller")

Version = tuple[str, int]
"""An app and a number."""


class Versions:
    """Reads versions from the registry, and remembers them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[Version, Deployment] = {}
        self._failed: dict[Version, float] = {}
        """When (monotonic seconds) a version could not be read."""

    async def read(self, wanted: Iterable[Version], now: float) -> Mapping[Version, Deployment]:
        """All versions that are known, the wanted ones included; one that cannot be read is logged and left out."""
        wanted = set(wanted)
        self._failed = {key: when for key, when in self._failed.items() if key in wanted and now - when < READ_AGAIN}
        for app, version in wanted - set(self._known) - set(self._failed):
            try:
                self._known[app, version] = await self._registry.deployment(app, version)
            except (NotFoundError, ProtocolError) as error:  # the others are served
                self._failed[app, version] = now
                logger.warning("version %d of app %s is not served: %s", version, app, error)
        return self._known
