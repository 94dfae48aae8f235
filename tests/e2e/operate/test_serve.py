"""`busfn serve`: new code takes over when a file changes, and broken code does not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import busfn

BUSFN = str(Path(sys.executable).parent / "busfn")

APP = """
    import busfn

    app = busfn.App("shop")

    @app.function()
    def f() -> str:
        return "one"
"""


@pytest.fixture
def served(home: Path, script: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """The app's file, and where what it prints goes."""
    path, log = Path(script(APP)), home / "serve.log"
    with log.open("w") as stderr:
        process = subprocess.Popen([BUSFN, "serve", str(path)], stdout=subprocess.PIPE, stderr=stderr, text=True)
    assert process.stdout is not None
    ready, url = process.stdout.readline().split()
    assert ready == "ready"
    monkeypatch.setenv("BUSFN_URL", url)
    yield path, log
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_changed_code_takes_over_and_broken_code_does_not(served: tuple[Path, Path], eventually) -> None:
    path, log = served
    function = busfn.Function.from_name("shop", "f")
    assert function.remote() == "one"
    time.sleep(0.1)
    path.write_text(path.read_text().replace("one", "two"))
    eventually(lambda: function.remote() == "two")
    path.write_text(path.read_text() + "\nthis is no Python\n")
    eventually(lambda: "is served on" in log.read_text())
    assert "SyntaxError" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert function.remote() == "two"
    (path.parent / "helper.py").write_text("WORD = 'three'\n")
    text = path.read_text().replace("\nthis is no Python\n", "").replace('"two"', "WORD")
    path.write_text("from helper import WORD\n" + text)
    eventually(lambda: function.remote() == "three")


def test_code_that_cannot_be_imported_at_the_start_is_an_error(home: Path, script: Callable[..., str]) -> None:
    path = script("import busfn\nraise RuntimeError('not yet')\n")
    done = subprocess.run([BUSFN, "serve", path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "not yet" in done.stderr
