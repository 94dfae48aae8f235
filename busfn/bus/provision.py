"""Makes streams, with as many copies as the cluster can hold, and brings existing ones up to date."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from busfn.bus.api import NO_PEERS, NO_ROOM, STREAM_DIFFERS, STREAM_NOT_FOUND, SUBJECTS_OVERLAP, Api, ApiError
from busfn.bus.layout import upgrade
from busfn.errors import ConflictError, ServiceError

log = logging.getLogger("busfn.bus")

COPIES = 3
"""Copies of a stream on a cluster, unless another number is configured."""
LEAST_BYTES = 1 << 20
"""What a stream gets at least."""
SHARE = 4
"""Where there is no room for a stream as large as wished, it gets this part of what is left."""


class Provisioner:
    """Makes streams exist. Any number of hosts may do so at once: they ask for the same."""

    def __init__(self, api: Api, replicas: int, clustered: Callable[[], bool]) -> None:
        self._api = api
        self._replicas = replicas
        self._clustered = clustered

    async def ensure(self, config: dict[str, Any]) -> None:
        """Create the stream, or update what is ours in it; see `busfn.bus.layout.upgrade`.

        Raises `ConflictError` and `VersionError` for a stream that cannot be used, `ServiceError` when the cluster
        cannot hold the copies that are configured.
        """
        replicas = self._replicas or (COPIES if self._clustered() else 1)
        try:
            await self._ensure_fitting({**config, "num_replicas": replicas})
        except ApiError as error:
            if error.code not in NO_PEERS:
                raise
            if self._replicas:
                raise ServiceError(
                    f"stream {config['name']}: {replicas} copies are configured (BUSFN_REPLICAS), and the server cannot"
                    f" place them: {error.description}. Start more servers with JetStream, or configure fewer copies"
                ) from error
            log.warning(
                "stream %s gets one copy: this cluster cannot hold %d now (%s). The next start tries again",
                config["name"], replicas, error.description,
            )  # fmt: skip
            await self._ensure_fitting({**config, "num_replicas": 1})

    async def _ensure_fitting(self, config: dict[str, Any]) -> None:
        """Servers reserve a stream's limit; on one with less room, the limit is smaller, and leaves room for others."""
        size = config["max_bytes"]
        while True:  # ends: with a size that fits, or none
            try:
                await self._ensure({**config, "max_bytes": size})
                break
            except ApiError as error:
                if error.code not in NO_ROOM:
                    raise
                if size < 2 * SHARE * LEAST_BYTES:
                    raise ServiceError(_no_room(config, error)) from error
                size //= 2
        if size < config["max_bytes"]:
            await self._shrink(config["name"], size, size // SHARE)

    async def _shrink(self, name: str, size: int, smaller: int) -> None:
        """Unless it exists with a limit that somebody else has set."""
        info = await self._api.call(f"STREAM.INFO.{name}")
        if info["config"]["max_bytes"] == size:
            await self._api.call(f"STREAM.UPDATE.{name}", {**info["config"], "max_bytes": smaller})
            log.warning("stream %s is limited to %d MiB: the server has no room for more", name, smaller >> 20)

    async def _ensure(self, config: dict[str, Any]) -> None:
        name = config["name"]
        try:
            await self._api.call(f"STREAM.CREATE.{name}", config)
        except ApiError as error:
            if error.code == SUBJECTS_OVERLAP:
                raise ConflictError(f"stream {name}: another stream keeps its subjects already") from error
            if error.code != STREAM_DIFFERS and error.code not in NO_ROOM:
                raise
            existing = await self._existing(name)
            if existing is None:
                raise
            better = upgrade(existing, config)
            if better is not None:
                await self._api.call(f"STREAM.UPDATE.{name}", better)

    async def _existing(self, name: str) -> dict[str, Any] | None:
        """A stream's configuration. A server without room says so even of streams that it has already."""
        try:
            info = await self._api.call(f"STREAM.INFO.{name}")
        except ApiError as error:
            if error.code == STREAM_NOT_FOUND:
                return None
            raise
        return cast("dict[str, Any]", info["config"])


def _no_room(config: dict[str, Any], error: ApiError) -> str:
    limit = f"max_{config['storage']}_store"
    return (
        f"stream {config['name']}: the server has no room left for it ({error.description}). Raise `{limit}` of the"
        " server or the limit of the account, or remove environments that nobody uses (`nats stream ls`)"
    )
