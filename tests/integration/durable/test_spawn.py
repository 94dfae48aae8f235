"""`spawn`, `spawn_map` and `FunctionCall` against real workers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import durable
import nats
import pytest

from busfn import FunctionCall, errors

LIST = [str(Path(sys.executable).parent / "busfn"), "call", "list", "-n", "10000"]


def test_a_spawned_call_is_run_and_its_result_kept() -> None:
    call = durable.square.spawn(7)
    assert call.get() == 49
    assert call.get(timeout=0) == 49
    assert call.num_inputs() == 1


def test_get_gives_up_after_its_timeout_and_can_be_repeated(path: str) -> None:
    call = durable.held.spawn(path)
    with pytest.raises(TimeoutError):
        call.get(timeout=0)
    with pytest.raises(TimeoutError):
        call.get(timeout=0.05)
    Path(path).touch()
    assert call.get() == "done"


def test_a_failure_is_raised_every_time() -> None:
    call = durable.fails.spawn(3)
    for _ in range(2):
        with pytest.raises(KeyError, match="3"):
            call.get()


def test_another_process_gets_the_result_by_id() -> None:
    call = durable.square.spawn(12)
    script = f"import busfn; print(busfn.FunctionCall.from_id({call.object_id!r}).get(timeout=20))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "144\n"


def test_a_caller_that_is_killed_after_spawn_loses_nothing(path: str) -> None:
    script = (
        "import os, busfn; call = busfn.Function.from_name('durable', 'logged').spawn"
        f"({path!r}, 1); print(call.object_id, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -9
    assert FunctionCall.from_id(done.stdout.strip()).get(timeout=20) == 1


def test_an_id_that_was_never_a_call_is_expired_at_once() -> None:
    with pytest.raises(errors.OutputExpiredError):
        FunctionCall.from_id("durable.square.0123abcd").get()
    with pytest.raises(errors.InvalidError, match="no call id"):
        FunctionCall.from_id("what?")


def test_large_arguments_and_results_are_kept() -> None:
    value = os.urandom(3_000_000)
    call = durable.identity.spawn(value)
    assert call.get() == value
    assert call.get() == value


def test_large_arguments_among_others_and_the_results_made_of_them_are_kept() -> None:
    value = os.urandom(600_000)
    calls = [durable.identity.spawn(one) for one in ([value, 1], [1, value], {"a": value})]
    assert FunctionCall.gather(*calls) == [[value, 1], [1, value], {"a": value}]


def test_gather_waits_for_all_in_order() -> None:
    calls = [durable.square.spawn(i) for i in range(5)]
    assert FunctionCall.gather(*calls) == [0, 1, 4, 9, 16]
    assert FunctionCall.gather() == []
    assert asyncio.run(FunctionCall.gather_aio(*calls)) == [0, 1, 4, 9, 16]
    with pytest.raises(KeyError):
        FunctionCall.gather(durable.square.spawn(1), durable.fails.spawn(3))


def test_spawn_map_accepts_everything_and_iter_gives_it_in_order() -> None:
    call = durable.square.spawn_map(range(1000))
    assert call.num_inputs() == 1000
    assert list(call.iter()) == [i * i for i in range(1000)]
    assert list(call.iter(start=990)) == [i * i for i in range(990, 1000)]
    assert call.get(index=999) == 999 * 999
    assert FunctionCall.from_id(call.object_id).num_inputs() == 1000


def test_iter_reads_many_pages_in_order_and_may_be_left() -> None:
    call = durable.square.spawn_map(range(3000))
    results = call.iter()
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    results.close()
    assert list(call.iter()) == [i * i for i in range(3000)]


def test_up_to_a_thousand_inputs_are_accepted_all_or_none() -> None:
    def numbers() -> Iterator[int]:
        yield from range(900)
        raise ZeroDivisionError

    ids = set(subprocess.run(LIST, capture_output=True, text=True, timeout=60, check=True).stdout.split())
    with pytest.raises(ZeroDivisionError):
        durable.square.spawn_map(numbers())
    assert set(subprocess.run(LIST, capture_output=True, text=True, timeout=60, check=True).stdout.split()) == ids


def test_iter_raises_the_first_failure_and_checks_its_range() -> None:
    call = durable.fails.spawn_map(range(8))
    results = call.iter()
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="3"):
        next(results)
    assert call.get(index=7) == 7
    for start, end in ((-1, None), (0, 9)):
        with pytest.raises(ValueError, match="8 inputs"):
            next(call.iter(start=start, end=end))


def test_spawn_map_takes_inputs_lazily_kwargs_and_no_inputs_at_all(path: str) -> None:
    def numbers() -> Iterator[int]:
        yield from range(300)

    assert sum(durable.square.spawn_map(numbers()).iter()) == sum(i * i for i in range(300))
    assert list(durable.logged.spawn_map([path] * 3, [1, 2, 3]).iter()) == [1, 2, 3]
    assert list(durable.logged.spawn_map([path], kwargs={"x": 9}).iter()) == [9]
    assert list(durable.square.spawn_map([]).iter()) == []


def test_aio() -> None:
    async def numbers() -> AsyncIterator[int]:
        for i in range(200):
            yield i

    async def main() -> list[int]:
        single = await durable.square.spawn.aio(3)
        assert await single.get.aio() == 9
        many = await durable.square.spawn_map.aio(numbers())
        return [result async for result in many.iter.aio()]

    assert asyncio.run(main()) == [i * i for i in range(200)]


def test_a_generator_function_cannot_be_spawned() -> None:
    with pytest.raises(errors.InvalidError, match="generator"):
        durable.items.spawn(3)
    with pytest.raises(errors.InvalidError, match="generator"):
        durable.items.spawn_map([3])


def test_a_body_spawns_further_calls() -> None:
    ids = durable.parent.remote(4)
    assert [FunctionCall.from_id(one).get() for one in ids] == [0, 1, 4, 9]


def test_workers_killed_under_spawned_calls_lose_and_double_nothing(path: str) -> None:
    call = durable.kills.spawn_map([path] * 200, range(200))
    results = [_outcome(call, i) for i in range(200)]
    assert [r for r in results if not isinstance(r, Exception)] == [i for i in range(200) if i != 5]
    assert isinstance(results[5], errors.InternalFailure)
    ran = Counter(Path(path).read_text().split())
    assert set(ran) == {str(i) for i in range(200)}
    assert ran["5"] == 3


def test_what_was_taken_ahead_is_not_trapped_behind_an_input_that_takes_long(path: str) -> None:
    for call in [durable.uneven.spawn("") for _ in range(60)]:  # workers learn how long it takes
        call.get(timeout=30)
    for turn in range(3):
        gate = f"{path}.{turn}"
        long = durable.uneven.spawn(gate)
        while not Path(gate + ".started").exists():
            time.sleep(0.001)
        for call in [durable.uneven.spawn("") for _ in range(40)]:
            call.get(timeout=10)
        Path(gate).touch()
        long.get(timeout=30)


def test_generators_that_were_taken_ahead_run_once_and_elsewhere(path: str) -> None:
    for _ in range(30):
        assert list(durable.uneven_items.remote_gen("")) == [1]
    with ThreadPoolExecutor(12) as pool:
        long = pool.submit(lambda: list(durable.uneven_items.remote_gen(path)))
        while not Path(path + ".started").exists():
            time.sleep(0.001)
        short = [pool.submit(lambda: list(durable.uneven_items.remote_gen(""))) for _ in range(60)]
        assert [one.result(timeout=20) for one in short] == [[1]] * 60
        Path(path).touch()
        assert long.result(timeout=30) == [1]


def _outcome(call: FunctionCall[int], index: int) -> int | Exception:
    try:
        return call.get(timeout=30, index=index)
    except Exception as error:
        return error


def test_cancel_takes_queued_inputs_away_and_tells_who_waits(path: str) -> None:
    blocker = durable.held.spawn(path)
    queued = [durable.held.spawn(path) for _ in range(3)]
    many = durable.held.spawn_map([path] * 500)
    for call in (*queued, many):
        call.cancel()
        call.cancel()  # harmless
        with pytest.raises(errors.RemoteError, match="cancelled"):
            call.get()
    Path(path).touch()
    assert blocker.get() == "done"


def test_a_plain_nats_client_hands_a_call_over_by_publishing_it() -> None:
    async def publish() -> None:
        address = durable.app.binding.require("the app").address
        connection = await nats.connect(address.servers[0], token=address.token)
        stored = await connection.jetstream().publish("busfn.main.job.durable.square.order17", b"6")
        assert stored.stream == "BUSFN_main_JOBS"
        await connection.close()

    asyncio.run(publish())
    assert FunctionCall.from_id("durable.square.order17").get(timeout=20) == 36


def test_a_long_queue_of_short_inputs_is_handed_out_once() -> None:
    """Workers ask for what they have room for: what they put back is carried twice, and looked up when it is old."""

    async def places() -> tuple[int, int]:
        """How many messages were ever queued, and handed out for `square`."""
        address = durable.app.binding.require("the app").address
        connection = await nats.connect(address.servers[0], token=address.token)
        jobs = connection.jetstream()
        queued = (await jobs.stream_info("BUSFN_main_JOBS")).state.last_seq
        handed_out = (await jobs.consumer_info("BUSFN_main_JOBS", "durable=square")).delivered
        await connection.close()
        assert handed_out is not None
        return queued, handed_out.consumer_seq

    assert durable.square.spawn(2).get(timeout=60) == 4
    queued, handed_out = asyncio.run(places())
    assert sum(durable.square.spawn_map(range(40_000)).iter()) == sum(x * x for x in range(40_000))
    queued_then, handed_out_then = asyncio.run(places())
    assert queued_then - queued >= 500
    assert handed_out_then - handed_out <= 1.2 * (queued_then - queued)
