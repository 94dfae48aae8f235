from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from busfn.errors import ClientClosed
from busfn.sync import Door, LoopThread, Operation

PATIENCE = 10.0


@pytest.fixture
def portal() -> Iterator[LoopThread]:
    portal = LoopThread()
    yield portal
    portal.stop()


async def give(value: object) -> object:
    await asyncio.sleep(0)
    return value


async def fail() -> None:
    raise KeyError("here")


def test_a_coroutine_runs_on_the_loop_thread_and_gives_its_value(portal: LoopThread) -> None:
    async def where() -> int:
        return threading.get_ident()

    assert portal.run(where()) != threading.get_ident()
    assert portal.run(give(3)) == 3


def test_what_it_raises_is_raised_in_the_waiting_thread(portal: LoopThread) -> None:
    with pytest.raises(KeyError, match="here"):
        portal.run(fail())


def test_an_operation_can_be_awaited_on_another_loop(portal: LoopThread) -> None:
    async def many() -> list[object]:
        return list(await asyncio.gather(*(portal.submit(give(i)) for i in range(500))))

    assert asyncio.run(many()) == list(range(500))
    assert asyncio.run(many()) == list(range(500))  # the door of the first loop, which is closed, is not used again


def test_a_cancelled_await_cancels_the_work(portal: LoopThread) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def leave() -> None:
        task = asyncio.ensure_future(portal.submit(endless()))
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    assert ended.wait(PATIENCE)


def test_what_was_cancelled_before_its_turn_never_begins(portal: LoopThread) -> None:
    blocked, free = threading.Event(), threading.Event()
    portal.call(blocked.set)
    portal.call(free.wait, PATIENCE)
    assert blocked.wait(PATIENCE)
    ran: list[int] = []

    async def note() -> None:
        ran.append(1)

    operation = portal.submit(note())
    operation.cancel()
    free.set()
    portal.run(give(None))
    assert not ran


def test_the_first_end_counts(portal: LoopThread) -> None:
    operation = Operation[int](portal)
    operation.succeed(1)
    operation.fail(KeyError())
    operation.cancel()
    assert operation.wait() == 1
    assert not operation.cancelled


def test_watchers_are_told_once_before_and_after_the_end(portal: LoopThread) -> None:
    operation = Operation[int](portal)
    told: list[str] = []
    operation.watch(lambda: told.append("before"))
    assert not told
    operation.succeed(1)
    operation.succeed(2)
    operation.watch(lambda: told.append("after"))
    assert told == ["before", "after"]


def test_many_threads_wait_for_one_operation(portal: LoopThread) -> None:
    operation, got = Operation[int](portal), list[int]()
    threads = [threading.Thread(target=lambda: got.append(operation.wait())) for _ in range(8)]
    for thread in threads:
        thread.start()
    portal.call(operation.succeed, 5)
    for thread in threads:
        thread.join(PATIENCE)
    assert got == [5] * 8


def test_a_closed_loop_thread_takes_nothing_and_fails_what_is_under_way() -> None:
    portal = LoopThread()

    async def endless() -> None:
        await asyncio.Event().wait()

    waiting = portal.submit(endless())
    portal.run(give(None))
    portal.stop()
    with pytest.raises(ClientClosed):
        waiting.wait()
    with pytest.raises(ClientClosed):
        portal.submit(endless())


def test_calls_through_a_door_keep_their_order_and_wake_the_loop_once() -> None:
    loop, made, wakes = asyncio.new_event_loop(), list[int](), list[int]()
    door, wake = Door(loop), loop.call_soon_threadsafe

    def counted(*args: object) -> object:
        wakes.append(1)
        return wake(*args)  # type: ignore[arg-type]

    loop.call_soon_threadsafe = counted  # type: ignore[method-assign,assignment]
    try:
        for number in range(100):
            door.call(made.append, number)
        loop.call_later(0, loop.stop)
        loop.run_forever()
    finally:
        loop.close()
    assert made == list(range(100))
    assert len(wakes) == 1


def test_a_call_that_fails_keeps_none_of_the_others_back() -> None:
    loop, made, reported = asyncio.new_event_loop(), list[int](), list[object]()
    loop.set_exception_handler(lambda _loop, context: reported.append(context["exception"]))
    door = Door(loop)
    door.call(made.append, 1)
    door.call(int, "no number")
    door.call(made.append, 2)
    loop.call_later(0, loop.stop)
    loop.run_forever()
    loop.close()
    door.call(made.append, 3)  # nobody is there any more
    assert made == [1, 2]
    assert [type(error) for error in reported] == [ValueError]


def test_threads_that_call_while_the_loop_runs_are_all_heard(portal: LoopThread) -> None:
    heard: list[int] = []

    def shout(first: int) -> None:
        for number in range(2000):
            portal.call(heard.append, first + number)

    threads = [threading.Thread(target=shout, args=(i * 2000,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    portal.run(give(None))
    assert sorted(heard) == list(range(8000))
