"""Asking whoever serves an app, and changing how it is served; loop thread only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

from busfn.bus.base import Message
from busfn.claims import Claims
from busfn.client import Client
from busfn.errors import ConnectionError, InvalidError, NoResponders, NotFoundError, PermissionDeniedError, ServiceError
from busfn.protocol.names import Target, is_run_token, unpin
from busfn.registry import Registry
from busfn.spec import FunctionSpec, Scaling
from busfn.status import FunctionStatus, StatusAnswer

ANSWER_TIMEOUT = 10.0
ATTEMPT = 1.0
PING_TIMEOUT = 1.0


class Operator:
    """What can be asked and changed over a client."""

    def __init__(self, client: Client) -> None:
        self._link = client.link
        self._known = client.known
        self.registry = Registry(client.link.bus, client.link.subjects)
        self.claims = Claims(self.registry, client.link.bus.table(client.link.subjects.table))

    async def stats(self, app: str) -> list[FunctionStatus]:
        """All functions of an app. Raises `NotFoundError` when nobody serves it, `ServiceError` when nobody answers."""
        question = self._link.subjects.question("stats", app)
        try:
            answer = StatusAnswer.decode((await self._ask(question)).body)
        except NoResponders as error:
            raise NotFoundError(await self._unserved(app)) from error
        except ConnectionError as error:
            raise ServiceError(f"the controllers of app {app!r} do not answer: none of them leads now") from error
        if answer.error:
            raise ServiceError(f"the state of app {app!r} is not known: {answer.error}")
        return list(answer.functions)

    async def _unserved(self, app: str) -> str:
        """Why nobody answers for an app."""
        if is_run_token(app):
            return f"the run {app} has ended"
        state = await self.registry.state(unpin(app)[0])
        if state is None:
            return f"there is no app {app!r} in environment {self._env!r}: `busfn app list` shows what is deployed"
        if state.stopped:
            return f"app {app!r} is stopped: deploy it again"
        return f"app {app!r} is deployed, and no controller serves it: start `busfn up`, or see `busfn health`"

    async def _ask(self, question: str) -> Message:
        """Between two leaders nobody answers for a moment: ask again."""
        until = time.monotonic() + ANSWER_TIMEOUT
        while True:  # ends: with an answer, or in time
            try:
                return await self._link.bus.request(question, timeout=ATTEMPT)
            except NoResponders:
                raise
            except ConnectionError:
                if time.monotonic() > until:
                    raise

    async def function(self, target: Target) -> FunctionStatus:
        """One function. Raises `NotFoundError` when it is not served."""
        found = [one for one in await self.stats(target.app) if one.function == target.function]
        if not found:
            raise NotFoundError(f"app {target.app!r} is served, and has no function {target.function!r}")
        return found[0]

    async def scale(self, target: Target, change: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change scaling settings until the next deploy; returns all that are set now.

        Raises `InvalidError`, and `NotFoundError` for a function that nobody serves.
        """
        spec = await self.spec(target)
        if spec is None:  # it may be one of an app that is only run
            await self.function(target)
        merged = {name: value for name, value in change.items() if value is not None}
        _check_names(merged)
        base = spec.scaling if spec is not None else Scaling()
        return await self.registry.override(
            target.app, target.function, merged, lambda settings: replace(base, **settings)
        )

    async def spec(self, target: Target) -> FunctionSpec | None:
        """A deployed function; None when its app is only run. Raises `NotFoundError`."""
        if is_run_token(target.app):
            return None
        app, version = unpin(target.app)
        state = await self.registry.state(app)
        if state is None or (state.stopped and not version):
            return None
        deployment = await self.registry.deployment(app, version or state.version)
        spec = deployment.function(target.function)
        if spec is None:
            raise await self._known.failure(target)
        return spec

    async def exists(self, target: Target) -> FunctionSpec | None:
        """Make sure that somebody serves a function; its spec when it is deployed. Raises `NotFoundError`."""
        spec = await self.spec(target)
        if spec is not None:
            app, version = unpin(target.app)
            if version:
                await self.registry.pin(app, version, time.time())
            return spec
        if not await self._served(target):
            raise await self._known.failure(target)
        return None

    async def _served(self, target: Target) -> bool:
        """Whether a run, or workers without a controller, serve a function."""
        try:
            return await self._known.served(target)
        except PermissionDeniedError:  # who may only call asks the workers
            service = f"{target.app}-{target.function}".replace(".", "-")
            with suppress(ConnectionError):  # nobody hears it, or those who hear it are others
                await self._link.bus.request(f"$SRV.PING.{service}", timeout=PING_TIMEOUT)
                return True
            return False

    @property
    def _env(self) -> str:
        return self._link.subjects.env


def _check_names(change: Mapping[str, Any]) -> None:
    known = {field.name for field in fields(Scaling)}
    unknown = sorted(set(change) - known)
    if unknown:
        raise InvalidError(f"unknown scaling setting `{unknown[0]}`; there are {', '.join(sorted(known))}")
