"""Failed inputs are tried again by the worker side, as often and after as long as their function says."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import durable
import pytest

from busfn import errors


def attempts(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


@pytest.mark.parametrize(
    "call",
    [
        lambda path: durable.flaky.remote(path, 4),
        lambda path: durable.flaky.spawn(path, 4).get(),
        lambda path: next(iter(durable.flaky.map([path], [4]))),
        lambda path: durable.flaky.spawn_map([path], [4]).get(index=0),
    ],
    ids=["remote", "spawn", "map", "spawn_map"],
)
def test_an_input_is_retried_until_it_succeeds(call: Callable[[str], int], path: str) -> None:
    assert call(path) == 4
    began = [float(line) for line in attempts(path)]
    pauses = [after - before for before, after in itertools.pairwise(began)]
    assert all(pause >= least for pause, least in zip(pauses, [0.1, 0.2, 0.4], strict=True))


def test_the_last_failure_is_raised_when_the_retries_are_used_up(path: str) -> None:
    with pytest.raises(ValueError, match="attempt 4"):
        durable.flaky.spawn(path, 99).get()
    assert len(attempts(path)) == 4


def test_a_number_means_so_many_retries(path: str) -> None:
    with pytest.raises(ArithmeticError):
        durable.never_right.remote(path)
    assert len(attempts(path)) == 3


def test_a_timeout_is_a_failure_that_is_retried(path: str) -> None:
    with pytest.raises(errors.FunctionTimeoutError):
        durable.slow.spawn(path).get()
    assert len(attempts(path)) == 4


def test_what_cannot_be_sent_back_is_not_run_again(path: str) -> None:
    with pytest.raises(errors.SerializationError):
        durable.unsendable.spawn().get()
