"""How far the pauses between attempts are from those that `Retries` asks for; shorter they are never."""

from __future__ import annotations

import itertools
from pathlib import Path
from statistics import median

import pytest
from durable import QUICK
from sites import Site, named

PAUSES = [QUICK.delay(attempt) or 0.0 for attempt in range(1, QUICK.max_retries + 1)]


def test_pauses_between_attempts_are_those_of_the_policy(
    site: Site, tmp_path: Path, full: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    size = 20 if full else 2
    site.serve("flaky", 2)
    paths = [tmp_path / f"{x}" for x in range(size)]
    for path in paths:
        assert named("flaky").spawn(str(path), len(PAUSES) + 1).get(timeout=60) == len(PAUSES) + 1
    began = [[float(line) for line in path.read_text().split()] for path in paths]
    waits = [[after - before for before, after in itertools.pairwise(times)] for times in began]
    columns = zip(PAUSES, zip(*waits, strict=True), strict=True)
    over = [sorted(wait / pause - 1 for wait in each) for pause, each in columns]
    assert all(least[0] >= 0 for least in over)
    if full:
        with capsys.disabled():
            for pause, each in zip(PAUSES, over, strict=True):
                print(f"\npause of {pause:g} s: {median(each):+.1%} (median), {each[-1]:+.1%} (most of {size})", end="")
