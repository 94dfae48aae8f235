"""Bodies that wait for calls of their own function, in every way of waiting; the limits are the defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import recursive

from busfn import errors

DEPTH = 5


@pytest.fixture(scope="module", autouse=True)
def serving() -> Iterator[None]:
    with recursive.app.run():
        yield


@pytest.fixture(autouse=True)
def no_worker_left(serving: None, eventually: Callable[[Callable[[], bool]], None]) -> None:
    """Each test begins without workers: those of the one before would hide that none is started, and a spawned call
    that nobody waits for any more takes some."""
    functions = (recursive.down, recursive.adown, recursive.down_items, recursive.adown_items, recursive.three)

    def is_at_rest() -> bool:
        found = [one.get_current_stats() for one in functions]
        return not any(stats.num_total_runners or stats.backlog for stats in found)

    eventually(is_at_rest)


@pytest.mark.parametrize("way", recursive.SYNC)
def test_recursive_map_and_all_other_ways(way: str) -> None:

    assert recursive.down.remote(way, DEPTH) == DEPTH


@pytest.mark.parametrize("way", recursive.ASYNC)
def test_async_bodies_wait_for_themselves(way: str) -> None:
    assert recursive.adown.remote(way, DEPTH) == DEPTH


def test_generators_wait_for_themselves() -> None:
    assert list(recursive.down_items.remote_gen("remote_gen", DEPTH)) == [DEPTH]
    assert list(recursive.adown_items.remote_gen("remote_gen", DEPTH)) == [DEPTH]


def test_a_chain_of_spawned_calls_is_no_recursion(
    folder: str, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """Each has ended when the next one runs, so one worker is enough, however long the chain is."""
    path = Path(folder) / "chain"
    recursive.chain.spawn(str(path), 120).get()
    eventually(lambda: path.read_text().endswith("\n0\n"))


@pytest.mark.parametrize("way", recursive.ALONE)
def test_a_wait_that_can_never_end_is_refused(way: str) -> None:
    """The function may have one worker, which waits."""
    with pytest.raises(errors.ExecutionError, match=r"recursive.alone -> recursive.alone: .*max_containers"):
        recursive.alone.remote(way, 1)
    assert recursive.alone.remote(way, 0) == 0


def test_a_circle_of_functions_that_can_never_end_is_refused() -> None:
    with pytest.raises(errors.ExecutionError, match=r"recursive\.ping -> recursive\.pong -> recursive\.ping: "):
        recursive.ping.remote(2)
    assert recursive.ping.remote(1) == 0


@pytest.mark.parametrize("way", recursive.THREE)
def test_a_wait_for_workers_that_wait_in_a_chain_is_refused(way: str) -> None:
    """Also where each of them has handed over a call, and then waits for it."""
    with pytest.raises(errors.ExecutionError, match=r"recursive.three -> recursive.three -> .*max_containers"):
        recursive.three.remote(way, 5)


@pytest.mark.parametrize("way", recursive.THREE)
def test_a_chain_of_as_many_waits_as_there_may_be_workers_ends(way: str) -> None:
    assert recursive.three.remote(way, 2) == 2
