"""Reading what a stream keeps, in order and in pages, without a consumer: batches of Direct Get, or one message at a
time from the leader where a stream has no Direct Get."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from busfn.bus.api import NO_MESSAGE, STREAM_NOT_FOUND, ApiError, attempts
from busfn.bus.frames import Inbound
from busfn.bus.stores import Bounds, Stored
from busfn.errors import ConnectionError, NoResponders, NotFoundError, ServiceError

if TYPE_CHECKING:
    from busfn.bus.core import NatsBus

_TIMEOUT = 15.0
_PAGE_BYTES = 4 << 20
_END = ("204", "404")
"""Statuses that close a page: the end of the batch, and nothing found."""


class NatsHistory:
    """Stored messages on JetStream; see `busfn.bus.base.History`."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus

    async def bounds(self, stream: str) -> Bounds:
        state = (await self._call(f"STREAM.INFO.{stream}", stream))["state"]
        return Bounds(int(state["first_seq"]), int(state["last_seq"]))

    async def read(self, stream: str, subject: str, *, sequence: int, count: int) -> Sequence[Stored]:
        return await self._read(stream, {"seq": max(1, sequence), "next_by_subj": subject}, count)

    async def first_since(self, stream: str, subject: str, moment: float) -> int | None:
        query = {"start_time": _rfc3339(moment), "next_by_subj": subject}
        found = await self._read(stream, query, 1)
        return found[0].sequence if found else None

    async def _read(self, stream: str, query: Mapping[str, Any], count: int) -> list[Stored]:
        failure: Exception | None = None
        async for limit in attempts(self._bus, _TIMEOUT):
            try:
                return await self._batch(stream, {**query, "batch": count, "max_bytes": _PAGE_BYTES}, limit)
            except NoResponders:
                return await self._from_leader(stream, query, count)
            except ConnectionError as error:
                failure = error
        raise ConnectionError(f"{stream} could not be read within {_TIMEOUT:g} s") from failure

    async def _batch(self, stream: str, query: Mapping[str, Any], timeout: float) -> list[Stored]:
        found: list[Stored] = []

        def receive(message: Inbound) -> None:
            found.append(_direct(message))

        body = json.dumps(query).encode()
        end = await self._bus.ask(f"$JS.API.DIRECT.GET.{stream}", body, timeout=timeout, fragile=True, each=receive)
        if end.status not in _END:
            raise ServiceError(f"{stream} could not be read: {end.status} {end.headers.get('Description', '')}")
        return found

    async def _from_leader(self, stream: str, query: Mapping[str, Any], count: int) -> list[Stored]:
        found: list[Stored] = []
        while len(found) < count:
            try:
                answer = await self._call(f"STREAM.MSG.GET.{stream}", stream, query)
            except ApiError as error:
                if error.code == NO_MESSAGE or error.status == 404:
                    break
                raise
            found.append(_led(answer["message"]))
            query = {"seq": found[-1].sequence + 1, "next_by_subj": query["next_by_subj"]}
        return found

    async def _call(self, verb: str, stream: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            return await self._bus.queues.api.call(verb, query)
        except ApiError as error:
            if error.code == STREAM_NOT_FOUND:
                raise NotFoundError(f"there is no stream {stream}") from error
            raise


def _direct(message: Inbound) -> Stored:
    headers = message.headers
    return Stored(
        subject=headers["Nats-Subject"],
        headers=headers,
        body=message.body,
        sequence=int(headers["Nats-Sequence"]),
        time=_seconds(headers["Nats-Time-Stamp"]),
    )


def _led(stored: Mapping[str, Any]) -> Stored:
    body, block = (base64.b64decode(stored.get(key) or "") for key in ("data", "hdrs"))
    return Stored(
        subject=stored["subject"],
        headers=Inbound(stored["subject"], "", body, block).headers,
        body=body,
        sequence=int(stored["seq"]),
        time=_seconds(stored["time"]),
    )


def _seconds(rfc3339: str) -> float:
    return dt.datetime.fromisoformat(rfc3339).timestamp()


def _rfc3339(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).isoformat()
