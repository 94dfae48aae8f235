"""Answers the NATS micro discovery subjects (ADR-32), so that ``nats micro ls`` shows every function.

One wildcard subscription serves what are nine subjects in the ADR.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from busfn.bus.base import Message, Subscription
from busfn.invoke.link import Link
from busfn.protocol.schema import Description, describe
from busfn.spec import FunctionSpec
from busfn_services.answering import answer
from busfn_services.worker.stats import Stats

VERSION = "0.1.0"


class Discovery:
    """The `$SRV` side of one worker."""

    def __init__(self, link: Link, spec: FunctionSpec, worker: str, raw: Callable[..., Any], stats: Stats) -> None:
        self._link = link
        self._spec = spec
        self._worker = worker
        self._raw = raw
        self._stats = stats
        self._started = datetime.now(UTC).isoformat()
        self._subscription: Subscription | None = None

    @property
    def service(self) -> str:
        """The service's name on the bus."""
        return f"{self._spec.app}-{self._spec.name}".replace(".", "-")

    async def start(self) -> None:
        """Answer from now on."""
        self._subscription = await self._link.bus.subscribe("$SRV.>", self._on_request)

    async def stop(self) -> None:
        """Answer no more."""
        if self._subscription is not None:
            await self._subscription.leave()

    def _on_request(self, message: Message) -> None:
        _, verb, *rest = message.subject.split(".")
        if rest not in ([], [self.service], [self.service, self._worker]):
            return
        make = {"PING": self._ping, "INFO": self._info, "STATS": self._statistics}.get(verb)
        if make is not None:
            answer(self._link.bus, message, json.dumps(make()).encode())

    def _identity(self, kind: str) -> dict[str, Any]:
        return {
            "type": f"io.nats.micro.v1.{kind}_response",
            "name": self.service,
            "id": self._worker,
            "version": VERSION,
            "metadata": {"busfn.env": self._link.subjects.env, "busfn.app": self._spec.app},
        }

    def _endpoint(self) -> dict[str, Any]:
        return {
            "name": self._spec.name.replace(".", "-"),
            "subject": self._link.subjects.function(self._spec.app, self._spec.name),
            "queue_group": "busfn",
        }

    def _ping(self) -> dict[str, Any]:
        return self._identity("ping")

    @cached_property
    def _description(self) -> Description:
        return describe(self._raw)

    def _info(self) -> dict[str, Any]:
        description = self._description
        metadata = {
            "busfn.parameters": json.dumps(description.parameters),
            "busfn.result": json.dumps(description.result),
            "busfn.generator": str(self._spec.is_generator).lower(),
        }
        return {
            **self._identity("info"),
            "description": description.summary,
            "endpoints": [{**self._endpoint(), "metadata": metadata}],
        }

    def _statistics(self) -> dict[str, Any]:
        stats = self._stats
        numbers = {
            "num_requests": stats.requests,
            "num_errors": stats.errors,
            "last_error": stats.last_error,
            "processing_time": int(stats.seconds * 1e9),
            "average_processing_time": int(stats.seconds * 1e9 / stats.requests) if stats.requests else 0,
        }
        return {
            **self._identity("stats"),
            "started": self._started,
            "endpoints": [{**self._endpoint(), **numbers}],
        }
