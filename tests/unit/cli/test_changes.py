"""Which files count as changed code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from busfn_cli.changes import changed_since, changes


@pytest.mark.parametrize(
    ("name", "counts"),
    [("app.py", True), ("inner/app.py", True), ("notes.txt", False), (".venv/app.py", False), ("app.pyc", False)],
)
def test_python_files_count_wherever_code_may_be(tmp_path: Path, name: str, counts: bool) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.touch()
    os.utime(file, (1000.0, 1000.0))
    assert changed_since(str(tmp_path), 999.0) is counts
    assert not changed_since(str(tmp_path), 1000.0)


def test_what_was_written_before_the_watch_began_is_not_missed(tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.touch()
    found = changes(str(tmp_path), file.stat().st_mtime - 1)
    next(found)  # or it would wait for ever
    file.write_text("changed")
    next(found)
