"""Short calls made while a long one runs on the only worker, by every way of calling."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import beside
import pytest

WAYS: dict[str, Callable[[str], int]] = {
    "remote": beside.hold.remote,
    "spawn": lambda path: beside.hold.spawn(path).get(),
    "map": lambda path: next(iter(beside.hold.map([path]))),
    "generator": lambda path: next(beside.hold_items.remote_gen(path)),
}
SOON = 3.0
"""Seconds: the long body lasts for longer."""


@pytest.fixture(scope="module", autouse=True)
def serving() -> Iterator[None]:
    with beside.app.run():
        yield


@pytest.fixture
def path(folder: str) -> str:
    return str(Path(folder) / "held")


def one_warm_worker(how: str, eventually: Callable[[Callable[[], bool]], None]) -> None:
    function = beside.hold_items if how == "generator" else beside.hold
    eventually(lambda: function.get_current_stats().num_total_runners == 0)
    WAYS[how]("")


@pytest.mark.parametrize("how", WAYS)
def test_short_beside_long(how: str, path: str, eventually: Callable[[Callable[[], bool]], None]) -> None:
    one_warm_worker(how, eventually)
    with ThreadPoolExecutor() as threads:
        long = threads.submit(WAYS[how], path)
        eventually(Path(path).exists)
        begun = time.monotonic()
        other = WAYS[how]("")
        took = time.monotonic() - begun
        assert not long.done()
        Path(path).unlink()
        assert long.result() != other
    assert took < SOON


@pytest.mark.parametrize("how", WAYS)
def test_long_ones_run_side_by_side(how: str, folder: str, eventually: Callable[[Callable[[], bool]], None]) -> None:
    """As many as there may be workers, each sent when the one before runs."""
    one_warm_worker(how, eventually)
    paths = [str(Path(folder) / f"held{number}") for number in range(4)]
    with ThreadPoolExecutor() as threads:
        running = []
        for path in paths:
            running.append(threads.submit(WAYS[how], path))
            eventually(Path(path).exists)
        for path in paths:
            Path(path).unlink()
        assert len({one.result() for one in running}) == 4
