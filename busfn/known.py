"""Checks that a function which is called by its name exists, before anything is sent or queued for it."""

from __future__ import annotations

import asyncio
import difflib
import json
import time
from collections.abc import Iterable
from contextlib import suppress

from busfn.errors import ConnectionError, Error, NotFoundError, PermissionDeniedError
from busfn.invoke.link import Link
from busfn.protocol.names import Target, is_run_token, unpin
from busfn.registry import Registry
from busfn.streams import consumers

SURE_FOR = 10.0
"""Seconds for which a function that exists is not looked up again."""
PATIENCE = 3.0
"""Seconds after which a bus that does not answer is not asked any more; the call itself tells what is wrong."""


class Known:
    """The functions that exist, as far as a client has looked them up; any thread."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._sure: dict[Target, float] = {}

    def require(self, target: Target) -> None:
        """Waits for the bus, once in `SURE_FOR` seconds for each function.

        Raises `NotFoundError` for a function that is neither deployed nor served, with the name that may be meant.
        """
        if time.monotonic() >= self._sure.get(target, 0.0):
            self._link.portal.run(self._require(target))
            self._sure[target] = time.monotonic() + SURE_FOR

    async def _require(self, target: Target) -> None:
        with suppress(PermissionDeniedError, ConnectionError, TimeoutError):  # who cannot tell leaves it to the call
            async with asyncio.timeout(PATIENCE):
                if not (await self._deployed(target) or await self.served(target)):
                    raise await self.failure(target)

    async def _deployed(self, target: Target) -> bool:
        """Whether it is a function of a deployed app, which may be stopped."""
        return not is_run_token(target.app) and target.function in await self._functions(target.app)

    async def _functions(self, token: str) -> list[str]:
        registry, (app, version) = Registry(self._link.bus, self._link.subjects), unpin(token)
        state = await registry.state(app)
        if state is None:
            return []
        return [one.name for one in (await registry.deployment(app, version or state.version)).functions]

    async def served(self, target: Target) -> bool:
        """Whether a run, or workers without a controller, take what is queued for it."""
        consumer = consumers(self._link.subjects, target.app, target.function)[-1]
        try:
            await self._link.bus.queues.lag(consumer.stream, consumer.name)
        except NotFoundError:
            return False
        return True

    async def failure(self, target: Target) -> NotFoundError:
        """The error for a function that does not exist."""
        app, env = unpin(target.app)[0], self._link.subjects.env
        functions = await self._names(target.app)
        if functions:
            why = f"the app has no such function{_meant(target.function, functions)} (it has {', '.join(functions)})"
        else:
            apps = await Registry(self._link.bus, self._link.subjects).names()
            why = f"there is no such app{_meant(app, apps)}; `busfn app list` shows what is deployed"
        return NotFoundError(
            f"Lookup failed for Function {target.function!r} from the {target.app!r} app"
            f" (in the {env!r} environment): {why}"
        )

    async def _names(self, app: str) -> list[str]:
        """The functions of an app: those that are deployed, or as the controller tells that serves a run."""
        found = [] if is_run_token(app) else await self._functions(app)
        if not found:
            with suppress(Error):  # nobody serves it
                answer = await self._link.bus.request(self._link.subjects.question("stats", app), timeout=1.0)
                found = [str(one["function"]) for one in json.loads(answer.body).get("functions", ())]
        return sorted(found)


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
