"""The controller of deployed apps as a process: serves what the registry says, and scales it while it leads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress

from busfn.bus.base import Message
from busfn.concurrency.loops import Tasks, turns
from busfn.errors import Error
from busfn.protocol.border import is_inbox
from busfn.protocol.envelope import Status
from busfn.protocol.headers import STATUS
from busfn.protocol.names import pinned
from busfn.registry import PIN_AGE, PINNED_FOR, Registry
from busfn.registry_rows import Pin
from busfn_services.answering import answer
from busfn_services.controller.abandoned import AbandonedRuns
from busfn_services.controller.controller import Controller
from busfn_services.controller.election import Election
from busfn_services.controller.launchers.fleet import Fleet
from busfn_services.controller.versions import Versions
from busfn_services.controller.wanted import Served, of_registry, versions_in_use, with_overrides
from busfn_services.handon import Context
from busfn_services.health import loop_reports
from busfn_services.reports import MAX_TROUBLES, ControllerReport

LOOK_EVERY = 10.0
"""Seconds after which the registry is read even though nobody said that it has changed."""

MARGIN = 0.05
"""Seconds after which what was not settled is."""

logger = logging.getLogger("busfn.controller")


class ControllerService:
    """One of the controllers of an environment."""

    def __init__(self, context: Context, on_ready: Callable[[], None], note: Callable[[str], None]) -> None:
        self._context = context
        self._on_ready = on_ready
        self._note = note
        self._serving: dict[str, int] = {}
        self._registry = Registry(context.bus, context.subjects)
        self._abandoned = AbandonedRuns(context.bus, context.subjects, self._registry)
        self._changed = asyncio.Event()
        self._election = Election(context.bus.table(context.subjects.table), self._on_lead)
        self._controller = Controller(context, self._leads, on_stray=self._changed.set)
        self._fleet = Fleet(context.bus, context.subjects, self._controller, lambda: self._election.epoch)
        self._tasks = Tasks(logger)
        self._versions = Versions(self._registry)

    async def run(self, stop: asyncio.Event) -> int:
        """Serve until ``stop``; workers are left as they are."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._fleet)
            await stack.enter_async_context(self._election)
            stack.push_async_callback(self._controller.close)
            await self._registry.watch(self._changed.set)
            await self._context.bus.subscribe(self._context.subjects.question("fleet", "hosts"), self._on_question)
            self._context.bus.on_reconnect(self._on_return)
            self._wake_when_settled()
            stack.push_async_callback(self._tasks.cancel)
            self._tasks.loop(self._keep_serving(), "registry")
            await stop.wait()
        return 0

    async def _keep_serving(self) -> None:
        announced = False
        async for _ in turns(self._news, within=LOOK_EVERY):
            self._changed.clear()
            try:
                pins = await self._registry.pins()
                wanted = await self._wanted({(pin.app, pin.version) for pin in pins})
                await self._controller.serve(wanted, self._fleet)
                self._tell({one.spec.app: one.spec.version for one in wanted})
                if not announced:
                    announced = True
                    self._on_ready()
                if self._leads():
                    await self._end_pins(pins, time.time())
                    await self._controller.tidy()
                    await self._abandoned.tidy(time.time())
            except Error as error:  # the bus is away: go on with what is known
                logger.warning("the registry cannot be read: %s", error)

    async def _news(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await self._changed.wait()

    async def _wanted(self, pins: set[tuple[str, int]]) -> list[Served]:
        states = await self._registry.states()
        versions = await self._versions.read(versions_in_use(states, pins), time.monotonic())
        return with_overrides(of_registry(states, pins, versions), await self._registry.overrides())

    async def _end_pins(self, pins: Sequence[Pin], now: float) -> None:
        """Versions that nobody has insisted on for long are served no more, once nothing of them is queued or runs."""
        for pin in pins:
            token, age = pinned(pin.app, pin.version), now - pin.wanted_at
            if age > PINNED_FOR and pin.wanted_at and not await self._has_work(token):
                await self._registry.end_pin(pin)
            elif age > PINNED_FOR or (age > PIN_AGE and self._controller.busy(token)):
                await self._registry.pin(pin.app, pin.version, now)  # clients of other kinds use it without a word

    async def _has_work(self, token: str) -> bool:
        subjects, queues = self._context.subjects, self._context.bus.queues
        queued = await queues.subjects(subjects.stream("JOBS"), subjects.jobs_of(token))
        delayed = await queues.subjects(subjects.stream("DELAYED"), subjects.delayed_of(token))
        return self._controller.busy(token) or bool(queued or delayed)

    def _tell(self, serving: dict[str, int]) -> None:
        """Say what is new."""
        for app, version in serving.items():
            if self._serving.get(app) != version:
                self._note(f"serving {app}, version {version}")
        for app in set(self._serving) - set(serving):
            self._note(f"serving {app} no more")
        self._serving = serving

    def _leads(self) -> bool:
        return self._election.leading and not self._fleet.unsettled_for

    def _on_return(self) -> None:
        """The bus is back: hosts have not reported while it was away, so we do not know yet what runs."""
        self._changed.set()
        self._fleet.settle()
        self._wake_when_settled()

    def _wake_when_settled(self) -> None:
        """Calls are taken, and wait, from the beginning; workers are started once we know which there are."""
        seconds = self._fleet.unsettled_for + MARGIN
        asyncio.get_running_loop().call_later(seconds, self._controller.wake_all)

    def _on_lead(self) -> None:
        self._note("this controller leads" if self._election.leading else "another controller leads")
        self._controller.wake_all()

    def _on_question(self, message: Message) -> None:
        """The hosts, for people: one after the other, then what is known of functions, and of ourselves."""
        if not self._leads() or not is_inbox(message.reply):
            return
        for report in self._fleet.hosts:
            answer(self._context.bus, message, report.encode())
        troubles = tuple(self._controller.troubles()[:MAX_TROUBLES])
        last = ControllerReport(troubles=troubles, loops=loop_reports())
        answer(self._context.bus, message, last.encode(), {STATUS: Status.END})
