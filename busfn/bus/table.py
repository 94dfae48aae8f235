"""A key-value bucket on JetStream, laid out as the nats tools do (ADR-8)."""

from __future__ import annotations

import json
import math
import uuid
from typing import TYPE_CHECKING

from busfn.bus.api import WRONG_SEQUENCE, ApiError, attempts, read_answer
from busfn.bus.frames import Inbound, check_pattern
from busfn.bus.stores import Entry
from busfn.errors import ConnectionError, NoResponders

if TYPE_CHECKING:
    from busfn.bus.core import NatsBus

_NANO = 1_000_000_000
_PAGE = 256
_TIMEOUT = 10.0


class NatsTable:
    """Keys are subjects under ``$KV.<name>``; see `busfn.bus.base.Table`."""

    def __init__(self, bus: NatsBus, name: str) -> None:
        check_pattern(name)
        self._bus = bus
        self._stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."

    async def get(self, key: str) -> bytes | None:
        entry = await self.entry(key)
        return None if entry is None else entry.value

    async def entry(self, key: str) -> Entry | None:
        message = await self._last(key)
        return None if message is None or _is_marker(message) else _entry(message)

    async def entries(self, pattern: str) -> dict[str, Entry]:
        subjects = await self._bus.queues.subjects(self._stream, self._prefix + pattern)
        found: dict[str, Entry] = {}
        for start in range(0, len(subjects), _PAGE):
            found |= await self._alive(subjects[start : start + _PAGE])
        return found

    async def _last(self, key: str) -> Inbound | None:
        """What is stored under the key, delete markers included."""
        try:
            message = await self._bus.ask(
                f"$JS.API.DIRECT.GET.{self._stream}.{self._prefix}{key}", timeout=_TIMEOUT, fragile=True
            )
        except NoResponders:
            return None  # no bucket yet
        return None if message.status else message

    async def put(self, key: str, value: bytes, *, ttl: float = 0.0) -> None:
        await self._write(key, value, _ttl(ttl))

    async def create(self, key: str, value: bytes, *, ttl: float = 0.0) -> bool:
        expected = 0
        while True:  # ends: when the key is written, or is there
            try:
                await self._write(key, value, {**_ttl(ttl), "Nats-Expected-Last-Subject-Sequence": str(expected)})
                return True
            except ApiError as error:
                if error.code not in WRONG_SEQUENCE:
                    raise
            last = await self._last(key)
            if last is not None and not _is_marker(last):
                return False
            # A delete marker is the last message of its key: replace exactly this one. Or it expired just now.
            seen = int(last.headers["Nats-Sequence"]) if last is not None else 0
            if seen == expected and seen:
                return False
            expected = seen

    async def update(self, key: str, value: bytes, revision: int, *, ttl: float = 0.0) -> int | None:
        try:
            return await self._write(key, value, {**_ttl(ttl), "Nats-Expected-Last-Subject-Sequence": str(revision)})
        except ApiError as error:
            if error.code not in WRONG_SEQUENCE:
                raise
            return None

    async def delete(self, key: str) -> None:
        if await self._last(key) is not None:
            await self._write(key, b"", {"KV-Operation": "DEL"})

    async def keys(self) -> list[str]:
        return sorted(await self.entries(">"))

    async def _alive(self, subjects: list[str]) -> dict[str, Entry]:
        """The keys among them that hold a value."""
        found: dict[str, Entry] = {}

        def receive(message: Inbound) -> None:
            if not _is_marker(message):
                found[message.headers["Nats-Subject"].removeprefix(self._prefix)] = _entry(message)

        query = json.dumps({"multi_last": subjects}).encode()
        await self._bus.ask(f"$JS.API.DIRECT.GET.{self._stream}", query, timeout=_TIMEOUT, each=receive)
        return found

    async def _write(self, key: str, value: bytes, headers: dict[str, str]) -> int:
        """Store a message and return its sequence; the bucket is made when it turns out to be missing."""
        # With an id: when the answer to the first attempt was lost, the second one is told of the first one's success.
        headers = {**headers, "Nats-Msg-Id": uuid.uuid4().hex}
        failure: Exception | None = None
        async for limit in attempts(self._bus, _TIMEOUT):
            try:
                answer = await self._bus.ask(self._prefix + key, value, headers, timeout=limit, fragile=True)
                return int(read_answer(answer)["seq"])
            except NoResponders as error:
                failure = error
                await self._ensure()
            except ConnectionError as error:
                failure = error
            except ApiError as error:
                if error.status != 503:
                    raise
                failure = error
        raise ConnectionError(f"{key} could not be stored within {_TIMEOUT:g} s") from failure

    async def _ensure(self) -> None:
        config = {
            "name": self._stream,
            "subjects": [f"{self._prefix}>"],
            "max_msgs_per_subject": 1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "max_msg_size": -1,
            "max_consumers": -1,
            "storage": "file",
            "discard": "new",
            "duplicate_window": 120 * _NANO,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": True,
            "allow_msg_ttl": True,
        }
        await self._bus.queues.streams.ensure(config)


def _ttl(seconds: float) -> dict[str, str]:
    return {"Nats-TTL": f"{max(1, math.ceil(seconds))}s"} if seconds > 0 else {}


def _entry(message: Inbound) -> Entry:
    return Entry(message.body, int(message.headers["Nats-Sequence"]))


def _is_marker(message: Inbound) -> bool:
    return message.headers.get("KV-Operation") in ("DEL", "PURGE") or "Nats-Marker-Reason" in message.headers
