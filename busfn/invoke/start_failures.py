"""Hears, for those who wait for a durable call, that the workers of its function do not start.

The controller says so again and again while that lasts. One subscription for each function that was waited for, kept,
so that a wait costs nothing more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from busfn.bus.base import Message, Subscription
from busfn.concurrency.loops import Tasks
from busfn.errors import Error, ServiceError
from busfn.invoke.link import Link
from busfn.protocol.control import StartFailure
from busfn.protocol.names import Target

MAX_HEARD = 64
"""Functions that are listened for, beside those that are waited for now."""

Told = Callable[[StartFailure], None]

logger = logging.getLogger("busfn.client")


@dataclass(slots=True)
class _Ear:
    """One function."""

    told: set[Told] = field(default_factory=set[Told])
    subscription: Subscription | None = None

    def on_message(self, message: Message) -> None:
        failure = StartFailure.decode(message.body)
        for told in list(self.told):
            told(failure)


class StartFailures:
    """The failures that a client is told of; loop thread only."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._ears: dict[Target, _Ear] = {}
        self._tasks = Tasks(logger)

    def watch(self, target: Target, told: Told) -> Callable[[], None]:
        """Tell somebody, until what is returned is called."""
        ear = self._ears.pop(target, None)
        if ear is None:
            ear = _Ear()
            self._tasks.spawn(self._listen(target, ear), f"failures of {target.label}")
        self._ears[target] = ear  # the last one that was waited for
        ear.told.add(told)
        self._forget_old()
        return lambda: ear.told.discard(told)

    async def _listen(self, target: Target, ear: _Ear) -> None:
        subject = self._link.subjects.down(target.app, target.function)
        try:
            ear.subscription = await self._link.bus.subscribe(subject, ear.on_message)
        except Error as error:  # who may not hear it waits without a word
            logger.info("%s: failures of workers to start are not heard: %s", target.label, error)

    def _forget_old(self) -> None:
        unused = [target for target, ear in self._ears.items() if not ear.told and ear.subscription is not None]
        for target in unused[: max(0, len(self._ears) - MAX_HEARD)]:
            subscription = self._ears.pop(target).subscription
            if subscription is not None:
                self._tasks.spawn(subscription.leave(), f"failures of {target.label}")


def not_started(call: str, target: Target, failure: StartFailure) -> ServiceError:
    """What a wait for a call raises, which itself goes on."""
    return ServiceError(
        f"{target.label} cannot be served, because its workers fail to start ({failure.failures} attempts in a row)."
        f" The call {call} is still queued and runs once a worker starts: mend the code and deploy it again, then `get`"
        f" it again; or cancel it. The last error:\n{failure.text}"
    )
