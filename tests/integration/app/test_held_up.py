"""Calls that come to a worker while a body keeps it from reading anything."""

from __future__ import annotations

import asyncio
import ctypes
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import calls
import pytest

from busfn.bus.base import ConsumerSpec, Message
from busfn.invoke import liveness
from busfn.invoke.liveness import SILENCE
from busfn.protocol.control import Cover
from busfn.protocol.envelope import Answer, Call, Status, read_answer

Eventually = Callable[[Callable[[], bool]], None]

LEASE = ConsumerSpec(stream="", name="", subject="").ack_wait


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as threads:
        yield threads


def begun(folder: str, name: str) -> bool:
    return bool(list(Path(folder).glob(f"{name}.*")))


def runs(folder: str) -> Counter[str]:
    return Counter(path.name.partition(".")[0] for path in Path(folder).iterdir())


def test_what_was_sent_again_meanwhile_runs_once(
    folder: str, threads: ThreadPoolExecutor, eventually: Eventually
) -> None:
    """Half of these calls go to the worker that reads none of them, and are sent again after a silence."""
    holder = threads.submit(calls.gripping.remote, folder, "holder", SILENCE + 2)
    eventually(lambda: begun(folder, "holder"))
    names = [f"c{number}" for number in range(12)]
    for call in [threads.submit(calls.gripping.remote, folder, name, 0) for name in names]:
        call.result(timeout=60)
    deaf = holder.result(timeout=60)
    eventually(lambda: calls.gripping.remote(folder, "last", 0) == deaf)  # it has read what came before
    twice = {name: count for name, count in runs(folder).items() if name != "last" and count > 1}
    assert twice == {}, sorted(path.name for path in Path(folder).iterdir())


def test_what_waited_unread_in_the_queue_goes_back_to_its_caller(
    folder: str, threads: ThreadPoolExecutor, eventually: Eventually
) -> None:
    """Its caller may never have heard that it was queued, and may have sent it again."""
    link, function = calls.app.binding.require("a test").link, calls.lonely_gripping
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    async def queue_a_call() -> int:
        channel = link.bus.channel(lambda message: answers.put(read_answer(message.headers, message.body)))
        arguments = link.codecs.encode([[folder, "queued", 0], {}], scope="", what="")
        call = Call(call="queued", payload=arguments, reply=channel.subject)
        subject = link.subjects.overflow(calls.app.name, "lonely_gripping")
        return await link.bus.queues.enqueue(subject, arguments.body, call.headers())

    function.remote(folder, "first", 0)  # from now on its worker waits for what is queued
    holder = threads.submit(function.remote, folder, "holder", SILENCE + 1)
    eventually(lambda: begun(folder, "holder"))
    sequence = link.portal.run(queue_a_call())
    holder.result(timeout=60)
    answer = answers.get(timeout=10)
    assert (answer.status, answer.sequence) == (Status.UNREAD, sequence)
    assert function.remote(folder, "last", 0)
    assert not begun(folder, "queued")


def test_what_was_delivered_again_meanwhile_runs_once(
    folder: str, threads: ThreadPoolExecutor, eventually: Eventually, full: bool
) -> None:
    """Short inputs are asked for ahead, so some lie where nobody reads them when one of them is not short."""
    if not full:
        pytest.skip("waits for leases of 30 s: run with --full")

    def one_input(name: str, seconds: float) -> int:
        [worker] = calls.gripping.starmap([(folder, name, seconds)])
        return worker

    assert len(list(calls.gripping.starmap([(folder, "short", 0)] * 400))) == 400
    holder = threads.submit(one_input, "holder", LEASE + 3)
    eventually(lambda: begun(folder, "holder"))
    names = [f"c{number}" for number in range(14)]
    for call in [threads.submit(one_input, name, 0) for name in names]:
        call.result(timeout=120)
    deaf = holder.result(timeout=120)
    eventually(lambda: calls.gripping.remote(folder, "last", 0) == deaf)
    assert {name: runs(folder)[name] for name in names} == dict.fromkeys(names, 1)


def test_a_caller_that_could_not_read_its_answers_does_not_ask_again(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More answers than are read in one go wait for it, and its clock says that all calls were silent for long."""
    monkeypatch.setattr(liveness, "SILENCE", 1.0)

    calls.noted.remote(folder, "warm", 0)

    async def call_and_hold_the_gil() -> None:
        answers = [asyncio.create_task(calls.noted.remote.aio(folder, f"n{number}", 40_000)) for number in range(400)]
        await asyncio.sleep(0.005)  # they are on their way
        await asyncio.to_thread(ctypes.PyDLL(None).usleep, 3_000_000)
        for answer in asyncio.as_completed(answers):
            assert len(await answer) == 40_000

    asyncio.run(call_and_hold_the_gil())
    assert set(runs(folder).values()) == {1}


class Words:
    """What is said of a function's cover, as its workers hear it."""

    def __init__(self, function: str) -> None:
        self.heard = threading.Semaphore(0)
        link = calls.app.binding.require("a test").link
        self._portal = link.portal
        subject = link.subjects.cover(calls.app.name, function)
        self._subscription = self._portal.run(link.bus.subscribe(subject, self._on_word))

    def _on_word(self, message: Message) -> None:
        if message.body == Cover.STANDS.value:
            self.heard.release()

    def close(self) -> None:
        self._portal.run(self._subscription.leave())


def test_calls_then_go_to_workers_that_are_free(folder: str, threads: ThreadPoolExecutor, eventually: Eventually):
    words = Words("often_gripping")
    calls.often_gripping.remote(folder, "first", 1.5)
    for _ in range(3):  # by the second, all workers have heard the first
        assert words.heard.acquire(timeout=20)
    words.close()
    for turn in range(2):
        a, b, c = (f"{name}{turn}" for name in "abc")
        holders: list[Future[int]] = []
        for name in (a, b):
            holders.append(threads.submit(calls.often_gripping.remote, folder, name, 1.5))
            eventually(lambda name=name: begun(folder, name))
        calls.often_gripping.remote(folder, c, 0.01)
        assert not begun(folder, f"{a}-over")
        for holder in holders:
            holder.result(timeout=30)
