"""Every command of docs/operate.md does what the page says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "operate.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def commands() -> list[tuple[str, list[str]]]:
    """Each command with the lines that the page shows under it."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def shown(expected: list[str]) -> re.Pattern[str]:
    """``...`` stands for anything, and so does the width of columns."""
    parts = [re.sub(r"(\\ )+", r"\\s+", re.escape(line)).replace(r"\.\.\.", ".*") for line in expected]
    return re.compile("\n".join(parts), re.DOTALL)


def test_the_page_works_as_it_is_written(own_up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "shop.py").write_text(blocks("python")[0])
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    first, *rest = commands()
    assert first == ("busfn up &", ["ready nats://127.0.0.1:..."])  # the fixture has started it
    assert len(rest) > 15
    for command, expected in rest:
        done = subprocess.run(shlex.split(command), cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert shown(expected).fullmatch(done.stdout.strip()), f"{command}\n{done.stdout}\nand not\n{expected}"
