"""Requests to the JetStream API, in JSON."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol, cast

from busfn.bus.base import NO_HEADERS, Headers
from busfn.bus.frames import Inbound
from busfn.errors import ConnectionError, NoResponders, PermissionDeniedError, ServiceError

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0
_ATTEMPT = 5.0
_ADVICE = (
    "Start nats-server with -js, or give the account JetStream; `busfn up` starts a server that has it."
    " Plain calls work without, durable ones (spawn, map) do not"
)

# Codes of the server (server/errors.json) that we tell apart.
STREAM_NOT_FOUND = 10059
STREAM_DIFFERS = 10058
SUBJECTS_OVERLAP = 10065
CONSUMER_NOT_FOUND = 10014
CONSUMER_DIFFERS = 10148
FILTERS_OVERLAP = (10099, 10100, 10136, 10138)
NO_MESSAGE = 10037
NOT_DELETED = (10057, 10043)
STORE_REFUSED = 10077
OUT_OF_SPACE = (10047, 10028, 10023)
NO_ROOM = (10047, 10028, 10002, 10122)
"""A stream would reserve more than the server has left, or our account may have."""
TOO_LARGE = 10054
WRONG_SEQUENCE = (10071, 10164)
NO_JETSTREAM = (10039, 10076)
NO_PEERS = (10005, 10074)


class Asker(Protocol):
    """What we need from the bus."""

    async def ask(
        self, subject: str, body: bytes = b"", headers: Headers = NO_HEADERS, *, timeout: float, fragile: bool = False
    ) -> Inbound: ...
    async def wait_connected(self, timeout: float) -> None: ...


class ApiError(ServiceError):
    """The server answered with an error."""

    def __init__(self, status: int, code: int, description: str) -> None:
        super().__init__(f"JetStream: {description} ({code})")
        self.status = status
        self.code = code
        self.description = description


def read_answer(message: Inbound) -> dict[str, Any]:
    """The JSON of an answer; raises `ApiError` when it is an error."""
    try:
        answer = cast("dict[str, Any]", json.loads(message.body))
    except ValueError as error:
        raise ServiceError(f"{message.subject}: not an answer of JetStream: {message.body[:200]!r}") from error
    failure = answer.get("error")
    if failure:
        raise ApiError(int(failure.get("code", 500)), int(failure.get("err_code", 0)), str(failure.get("description")))
    return answer


async def attempts(asker: Asker, timeout: float) -> AsyncIterator[float]:
    """Seconds each attempt may take, with pauses between them, until ``timeout`` is used up; at least one."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    pause = _FIRST_PAUSE
    while True:  # ends: in time
        yield max(0.05, min(_ATTEMPT, deadline - loop.time()))
        left = deadline - loop.time()
        if left <= 0:
            return
        await asyncio.sleep(min(left, pause * random.uniform(0.5, 1.0)))
        pause = min(pause * 2, _LONGEST_PAUSE)
        left = deadline - loop.time()
        if left <= 0:
            return
        await asker.wait_connected(left)


class Api:
    """The management side of JetStream. All requests may be repeated, so they survive leader changes and reconnects."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def call(
        self, verb: str, payload: Mapping[str, object] | None = None, *, timeout: float = 10.0
    ) -> dict[str, Any]:
        """Ask ``$JS.API.<verb>`` until it answers.

        Raises `ApiError` for its errors, `ConnectionError` when there is no answer within ``timeout`` seconds.
        """
        body = json.dumps(payload).encode() if payload is not None else b""
        failure: Exception | None = None
        async for limit in attempts(self._asker, timeout):
            try:
                return read_answer(await self._asker.ask(f"$JS.API.{verb}", body, timeout=limit, fragile=True))
            except NoResponders as error:
                raise ServiceError(f"this server has no JetStream. {_ADVICE}") from error
            except ConnectionError as error:
                failure = error
            except ApiError as error:
                if error.code in NO_JETSTREAM:
                    raise ServiceError(f"JetStream is not enabled: {error.description}. {_ADVICE}") from error
                if error.status != 503:
                    raise
                failure = error
        raise failure or ConnectionError("JetStream does not answer")

    async def require(self) -> None:
        """Raise `ServiceError` with advice unless the server and our account have JetStream."""
        try:
            read_answer(await self._asker.ask("$JS.API.INFO", timeout=5.0))
        except NoResponders as error:
            raise ServiceError(f"this server has no JetStream. {_ADVICE}") from error
        except ApiError as error:
            raise ServiceError(f"JetStream is not enabled: {error.description}. {_ADVICE}") from error
        except PermissionDeniedError:
            return  # a user who may not ask may still use it
