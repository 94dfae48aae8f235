"""What mypy and pyright, both strict, make of code that uses busfn: right uses pass, wrong ones are found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
RIGHT = HERE / "typed_app.py"
WRONG = HERE / "wrong_calls.py"
LIMIT = 120
"""Seconds for a type checker with a cold cache."""

Reports = dict[int, list[str]]
"""Messages by line."""


def mypy(path: Path) -> Reports:
    """What ``mypy --strict`` reports as an error in one file; an error elsewhere fails the test."""
    done = run("mypy", "--strict", "--no-pretty", "--no-error-summary", "--hide-error-context", str(path))
    assert done.returncode in (0, 1), done.stdout + done.stderr
    reports: Reports = {}
    for line in done.stdout.splitlines():
        found = re.fullmatch(r"(.+?):(\d+): (error|note): (.*)", line)
        assert found, line
        if found[3] == "error":
            assert (ROOT / found[1]).resolve() == path, line
            reports.setdefault(int(found[2]), []).append(found[4])
    return reports


def pyright(path: Path) -> Reports:
    """What pyright reports in one file; the project's configuration makes it strict."""
    done = run("pyright", "--outputjson", str(path))
    assert done.returncode in (0, 1), done.stdout + done.stderr
    output = json.loads(done.stdout)
    assert output["summary"]["filesAnalyzed"] == 1, done.stdout
    reports: Reports = {}
    for found in output["generalDiagnostics"]:
        assert Path(found["file"]) == path, found
        reports.setdefault(found["range"]["start"]["line"] + 1, []).append(found["message"])
    return reports


def run(tool: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment in the project's folder, where its configuration is."""
    command = [sys.executable, "-m", tool, *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)


def marked(path: Path) -> set[int]:
    """Lines with the comment ``# error``."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("  # error")}


checkers = pytest.mark.parametrize("check", [mypy, pyright])


@checkers
def test_right_uses_pass(check: Callable[[Path], Reports]) -> None:
    assert check(RIGHT) == {}


@checkers
def test_wrong_uses_are_found(check: Callable[[Path], Reports]) -> None:
    reports, expected = check(WRONG), marked(WRONG)
    assert len(expected) > 40
    assert {line: text for line, text in reports.items() if line not in expected} == {}, "reported, but not marked"
    assert expected - reports.keys() == set(), "marked, but not reported"
