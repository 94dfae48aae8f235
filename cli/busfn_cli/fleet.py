"""The hosts of an environment, asked through the controller that leads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from busfn.bus.base import Message
from busfn.client import Client
from busfn.errors import Error, NotFoundError, ServiceError
from busfn.protocol.envelope import Status
from busfn.protocol.headers import STATUS
from busfn_services.reports import Command, ControllerReport, HostReport

PATIENCE = 6.0
"""Seconds to wait for a controller that leads; another one takes over within five."""
ATTEMPT = 0.5


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the controller that leads knows."""

    hosts: Sequence[HostReport]
    controller: ControllerReport


async def hosts(client: Client) -> list[HostReport]:
    """All hosts with their workers. Raises `ServiceError` when no controller answers."""
    return list((await fleet(client)).hosts)


async def fleet(client: Client) -> Fleet:
    """All hosts, and the controller that leads. Raises `ServiceError` when none answers."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:  # between two leaders nobody answers for a moment
        found = await _ask(client)
        if found is not None:
            return found
    raise ServiceError("the controllers on this bus do not answer: none of them leads now")


async def _ask(client: Client) -> Fleet | None:
    """One question; None when nobody has answered it in time."""
    found: list[HostReport] = []
    whole: asyncio.Future[ControllerReport] = asyncio.get_running_loop().create_future()

    def on_message(message: Message) -> None:
        if whole.done():
            return
        if message.headers.get("Status") == "503":
            env = client.link.subjects.env
            start = "busfn up" if env == "main" else f"busfn up --env {env}"
            whole.set_exception(ServiceError(f"no controller runs in environment {env!r}: start `{start}`"))
            return
        try:
            if message.headers.get(STATUS) == Status.END:
                whole.set_result(ControllerReport.decode(message.body))
            else:
                found.append(HostReport.decode(message.body))
        except Error as error:
            whole.set_exception(error)

    channel = client.link.bus.channel(on_message)
    try:
        client.link.bus.publish(client.link.subjects.question("fleet", "hosts"), reply=channel.subject)
        async with asyncio.timeout(ATTEMPT):
            controller = await whole
    except TimeoutError:
        return None
    finally:
        channel.close()
    return Fleet(sorted(found, key=lambda host: (host.machine, host.host)), controller)


async def stop_worker(client: Client, worker: str, *, graceful: bool) -> None:
    """Drain or kill a worker. Raises `NotFoundError` when there is none of this name."""
    for host in await hosts(client):
        if any(one.name == worker for one in host.workers):
            command = Command(op="drain" if graceful else "kill", worker=worker)
            await client.link.bus.request(client.link.subjects.command(host.host), command.encode())
            return
    raise NotFoundError(f"there is no worker {worker!r}: `busfn worker list` shows what there is")
