"""What `busfn health` looks at: the bus and what it stores, the registry, the controller and the functions that it
cannot start, hosts and their loops, and whether each worker hears the bus."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from busfn.bus.base import Bus
from busfn.client import Client
from busfn.errors import Error, NotFoundError
from busfn.protocol.subjects import Subjects
from busfn.registry import Registry
from busfn_cli.fleet import fleet
from busfn_services.home import data_folder
from busfn_services.reports import HostReport, LoopReport, Trouble, WorkerReport, shorten

STORE_TIMEOUT = 3.0
"""Seconds in which the server has to store something."""
LITTLE = 256
"""MiB of free disk space that are worth a word."""
NOT_STORED = "the server does not store: most likely its disk is full"
DEAF = 10.0
"""Seconds without an answer of the bus after which a worker is deaf; its pulls are answered every 5 s at least."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    what: str
    ok: bool
    text: str


async def look(client: Client) -> list[Check]:
    """All checks, from the bus upwards; what depends on something broken is left out."""
    reached = await _bus(client)
    if not reached.ok:
        return [reached, *await _fleet(client)]
    link = client.link
    return [reached, await stores(link.bus, link.subjects), *await _registry(client), *await _fleet(client)]


async def _bus(client: Client) -> Check:
    subjects, began = client.link.subjects, time.perf_counter()
    try:
        await client.link.bus.flush(5.0)
        trip = (time.perf_counter() - began) * 1000
        await client.link.bus.queues.latest(subjects.stream("JOBS"), subjects.job("health", "check", "none"))
    except NotFoundError as error:
        return Check("bus", False, f"{error}: nothing was started in environment {subjects.env!r} yet")
    except Error as error:
        return Check("bus", False, str(error))
    return Check("bus", True, f"{', '.join(client.address.servers)}, round trip {trip:.1f} ms, streams answer")


async def stores(bus: Bus, subjects: Subjects) -> Check:
    """Whether what has to outlive the server is stored: a job, a result and a row of the registry are, and go again."""
    token = secrets.token_hex(8)
    kept = {"JOBS": subjects.job("health", "probe", token), "RES": subjects.result("health", "probe", token, 0)}
    try:
        for kind, subject in kept.items():
            await bus.queues.enqueue(subject, b"", timeout=STORE_TIMEOUT)
            await bus.queues.withdraw(subjects.stream(kind), subject)
        table, key = bus.table(subjects.table), f"probe.{token}"
        async with asyncio.timeout(STORE_TIMEOUT):
            await table.put(key, token.encode(), ttl=STORE_TIMEOUT)
            if await table.get(key) != token.encode():
                return Check("store", False, "what was stored is not there")
            await table.delete(key)
    except (Error, TimeoutError) as error:
        reason = str(error) or "no answer"
        return Check("store", False, f"{NOT_STORED}{free_space()}. The server's answer: {reason}")
    return Check("store", True, "a job, a result and a row were stored and removed")


def free_space() -> str:
    """What is left on the disk of this user's `busfn up`, if there is one here and it is little."""
    folder = data_folder(os.environ) / "store"
    try:
        free = shutil.disk_usage(folder).free >> 20
    except OSError:
        return ""
    return f" (the one of {folder} has {free} MiB left)" if free < LITTLE else ""


async def _registry(client: Client) -> list[Check]:
    """Rows that are set aside, because they cannot be read."""
    try:
        rows = await Registry(client.link.bus, client.link.subjects).bad_rows()
    except Error as error:
        return [Check("registry", False, str(error))]
    return [Check(f"registry row {row.key}", False, f"it is set aside: {row.reason}") for row in rows]


async def _fleet(client: Client) -> list[Check]:
    try:
        found = await fleet(client)
    except Error as error:
        return [Check("controller", False, str(error))]
    loops = list(loop_checks("controller", found.controller.loops))
    leads = [] if loops else [Check("controller", True, "one leads")]
    return [*leads, *loops, *map(trouble, found.controller.troubles), *checks_of(found.hosts)]


def trouble(one: Trouble) -> Check:
    """Of a function whose workers do not start."""
    last = " ".join(shorten(one.text.strip().rpartition("\n")[2], 300).split())
    return Check(
        f"function {one.app}/{one.function}",
        False,
        f"version {one.version}: its workers do not start, {one.failures} attempts in a row have failed; {one.waiting}"
        f" messages wait. The last error: {last}",
    )


def loop_checks(where: str, loops: Iterable[LoopReport]) -> Iterator[Check]:
    """Of the endless tasks of a process: those that are late, and those with an item that went wrong lately."""
    for loop in loops:
        if loop.age > loop.limit:
            text = f"its loop {loop.name!r} has not turned for {loop.age:.0f} s; a restart of this process helps"
            yield Check(where, False, text)
        elif loop.fault:
            yield Check(where, False, f"its loop {loop.name!r} met an unexpected error: {loop.fault}")


def checks_of(found: Sequence[HostReport]) -> Iterator[Check]:
    """Of hosts and their workers."""
    if not found:
        yield Check("hosts", False, "there is none to run workers on: start `busfn up`")
    for host in found:
        yield from loop_checks(f"host {host.host}", host.loops)
        leaving = ", being stopped" if host.leaving else ""
        yield Check(
            f"host {host.host}", True, f"{host.machine}, {host.cores} cores, {len(host.workers)} workers{leaving}"
        )
        for worker in host.workers:
            yield _worker(worker)


def _worker(worker: WorkerReport) -> Check:
    what = f"worker {worker.name}"
    label = f"{worker.app}/{worker.function} version {worker.version}, {worker.state}"
    if worker.deaf_for < DEAF:
        return Check(what, True, label)
    text = f"{label}, alive but deaf: the bus has not answered it for {worker.deaf_for:.0f} s"
    return Check(what, False, f"{text}; its host replaces it soon, and now with: busfn worker stop {worker.name}")
