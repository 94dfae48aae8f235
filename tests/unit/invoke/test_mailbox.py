from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from busfn.invoke.mailbox import Mailbox

COUNT = 2000
PATIENCE = 10.0


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def fill(mailbox: Mailbox[int]) -> None:
    for number in range(1, COUNT + 1):
        mailbox.put(number)


async def empty(mailbox: Mailbox[int]) -> list[int]:
    async with asyncio.timeout(PATIENCE):
        return [await mailbox.aget() for _ in range(COUNT)]


def test_an_empty_mailbox_has_nothing_to_poll():
    assert Mailbox[int]().poll() is None


def test_items_are_polled_in_the_order_they_were_put():
    mailbox = Mailbox[int]()
    fill(mailbox)
    assert [mailbox.poll() for _ in range(COUNT)] == list(range(1, COUNT + 1))
    assert mailbox.poll() is None


@pytest.mark.parametrize("item", [0, "", [], False])
def test_an_item_that_is_falsy_is_an_item(item):
    mailbox = Mailbox()
    mailbox.put(item)
    assert mailbox.poll() is item
    mailbox.put(item)
    assert mailbox.get() is item
    mailbox.put(item)
    assert asyncio.run(mailbox.aget()) is item


def test_a_thread_gets_what_another_puts_while_it_waits():
    mailbox = Mailbox[int]()
    results: list[int] = []
    consumer = in_thread(lambda: results.extend(mailbox.get() for _ in range(COUNT)))
    fill(mailbox)
    consumer.join(PATIENCE)
    assert results == list(range(1, COUNT + 1))


def test_a_coroutine_gets_what_another_thread_puts_while_it_waits():
    mailbox = Mailbox[int]()

    async def consume() -> list[int]:
        producer = in_thread(lambda: fill(mailbox))
        results = await empty(mailbox)
        producer.join(PATIENCE)
        return results

    assert asyncio.run(consume()) == list(range(1, COUNT + 1))


def test_a_coroutine_gets_what_its_own_loop_puts():
    mailbox = Mailbox[int]()

    async def produce() -> None:
        for number in range(1, COUNT + 1):
            mailbox.put(number)
            if number % 3 == 0:
                await asyncio.sleep(0)

    async def both() -> list[int]:
        results, _ = await asyncio.gather(empty(mailbox), produce())
        return results

    assert asyncio.run(both()) == list(range(1, COUNT + 1))


def test_every_single_item_wakes_a_coroutine_that_already_waits():
    async def answer_each() -> list[int]:
        requests, answers = Mailbox[int](), Mailbox[int]()
        echo = in_thread(lambda: [answers.put(requests.get()) for _ in range(COUNT)])
        results = []
        async with asyncio.timeout(PATIENCE):
            for number in range(COUNT):
                waiting = asyncio.ensure_future(answers.aget())
                await asyncio.sleep(0)
                assert not waiting.done()
                requests.put(number)
                results.append(await waiting)
        echo.join(PATIENCE)
        return results

    assert asyncio.run(answer_each()) == list(range(COUNT))


def test_what_was_put_before_is_got_without_waiting():
    mailbox = Mailbox[int]()
    mailbox.put(1)

    async def consume() -> int:
        task = asyncio.ensure_future(mailbox.aget())
        await asyncio.sleep(0)
        assert task.done()
        return await task

    assert asyncio.run(consume()) == 1


def test_several_items_put_at_once_wake_a_coroutine_for_all_of_them():
    async def consume() -> list[int]:
        mailbox = Mailbox[int]()
        task = asyncio.ensure_future(mailbox.aget())
        await asyncio.sleep(0)
        for number in (1, 2, 3):
            mailbox.put(number)
        async with asyncio.timeout(PATIENCE):
            return [await task, await mailbox.aget(), await mailbox.aget()]

    assert asyncio.run(consume()) == [1, 2, 3]


def test_a_coroutine_that_gives_up_loses_no_item():
    async def consume() -> int:
        mailbox = Mailbox[int]()
        task = asyncio.ensure_future(mailbox.aget())
        await asyncio.sleep(0)
        mailbox.put(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        mailbox.put(2)
        async with asyncio.timeout(PATIENCE):
            return await mailbox.aget()

    assert asyncio.run(consume()) == 1


def test_a_consumer_may_move_to_another_loop():
    mailbox = Mailbox[int]()
    for number in (1, 2):
        producer = threading.Timer(0, mailbox.put, [number])

        async def consume(producer: threading.Timer = producer) -> int:
            producer.start()
            async with asyncio.timeout(PATIENCE):
                return await mailbox.aget()

        assert asyncio.run(consume()) == number
        producer.join(PATIENCE)


def test_putting_for_a_consumer_whose_loop_is_closed_keeps_the_item():
    mailbox = Mailbox[int]()
    loop = asyncio.new_event_loop()
    waiting = mailbox.aget()
    task = loop.create_task(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    mailbox.put(1)
    assert mailbox.poll() == 1
    assert not task.done()
    waiting.close()
