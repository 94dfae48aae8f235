"""The hosts of an environment, asked through the controller that leads."""

from __future__ import annotations

import asyncio
import time

from busfn.bus.base import Message
from busfn.client import Client
from busfn.errors import NotFoundError, ServiceError
from busfn_services.reports import Command, HostReport

PATIENCE = 6.0
"""Seconds to wait for a controller that leads; another one takes over within five."""
ATTEMPT = 0.5


async def hosts(client: Client) -> list[HostReport]:
    """All hosts with their workers. Raises `ServiceError` when no controller answers."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:  # between two leaders nobody answers for a moment
        found = await _ask(client)
        if found is not None:
            return sorted(found, key=lambda host: (host.machine, host.host))
    raise ServiceError("the controllers on this bus do not answer: none of them leads now")


async def _ask(client: Client) -> list[HostReport] | None:
    """One question; None when nobody has answered it in time."""
    found: list[HostReport] = []
    whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_message(message: Message) -> None:
        if whole.done():
            return
        if message.headers.get("Status") == "503":
            env = client.link.subjects.env
            start = "busfn up" if env == "main" else f"busfn up --env {env}"
            whole.set_exception(ServiceError(f"no controller runs in environment {env!r}: start `{start}`"))
        elif message.body:
            found.append(HostReport.decode(message.body))
        else:
            whole.set_result(None)

    channel = client.link.bus.channel(on_message)
    try:
        client.link.bus.publish(client.link.subjects.question("fleet", "hosts"), reply=channel.subject)
        async with asyncio.timeout(ATTEMPT):
            await whole
    except TimeoutError:
        return None
    finally:
        channel.close()
    return found


async def stop_worker(client: Client, worker: str, *, graceful: bool) -> None:
    """Drain or kill a worker. Raises `NotFoundError` when there is none of this name."""
    for host in await hosts(client):
        if any(one.name == worker for one in host.workers):
            command = Command(op="drain" if graceful else "kill", worker=worker)
            await client.link.bus.request(client.link.subjects.command(host.host), command.encode())
            return
    raise NotFoundError(f"there is no worker {worker!r}: `busfn worker list` shows what there is")
