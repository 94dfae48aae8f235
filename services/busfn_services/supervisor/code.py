"""The code of deployed apps on this host: verified, fetched once, unpacked into a cache."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from busfn.bundle import settle, unpack
from busfn.deployment import Deployment
from busfn.errors import AuthError, NotFoundError
from busfn.protocol.names import unpin
from busfn.refs import Source
from busfn.registry import Registry
from busfn.registry_rows import check_place
from busfn.spec import FunctionSpec
from busfn_services.supervisor.context import HostContext


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where bundles are unpacked: below ``XDG_CACHE_HOME``, by default ``~/.cache``."""
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "/tmp"), ".cache")
    return Path(base) / "busfn" / "bundles"


class CodeStore:
    """Makes deployed functions runnable here."""

    def __init__(self, context: HostContext, folder: Path) -> None:
        self._bus = context.bus
        self._key = context.key
        self._registry = Registry(context.bus, context.subjects)
        self._folder = folder
        self._known: dict[tuple[str, int], Deployment] = {}

    async def spec(self, token: str, version: int, function: str) -> FunctionSpec:
        """A function with its code on this host's disk; ``token`` is the app, perhaps with a version behind it.

        Raises `AuthError` for code that was not signed with our key, `NotFoundError`, `DeserializationError`.
        """
        app, _ = unpin(token)
        deployment = await self._deployment(app, version)
        spec = deployment.function(function)
        if spec is None:
            raise NotFoundError(f"version {version} of app {app!r} has no function {function!r}")
        root = self._folder / deployment.bundle.sha256
        if not root.is_dir():
            await self._fetch(deployment)
        source = settle(Source.from_dict(dict(spec.source)), root)
        return replace(spec, app=token, version=version, source=source.to_dict())

    async def _deployment(self, app: str, version: int) -> Deployment:
        """Versions never change, so each is verified once."""
        if self._key is None:
            raise AuthError(
                "this host has no signing key, so it cannot tell whose code it would run: set BUSFN_SIGNING_KEY,"
                " the same for the hosts and for those who deploy"
            )
        known = self._known.get((app, version))
        if known is None:
            stored = await self._registry.stored(app, version)
            known = check_place(Deployment.verify(stored, self._key), app, version)
            self._known[app, version] = known
        return known

    async def _fetch(self, deployment: Deployment) -> None:
        ref = deployment.bundle
        archive = await self._bus.blobs.get(ref.name, ref.chunks, ref.sha256)
        await asyncio.to_thread(unpack, archive, self._folder)
