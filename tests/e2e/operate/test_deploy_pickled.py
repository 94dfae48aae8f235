"""Deploying functions that hosts cannot import: they are in the bundle as signed pickles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import busfn

INTERACTIVE = """
import beside, busfn
app = busfn.App("$APP")
FACTOR = 3

@app.function()
def times(x):
    return x * FACTOR + beside.OFFSET

@app.function()
def nested(x):
    return times.remote(x)

print(app.deploy().version)
"""


def deploy(text: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-"], input=text, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_interactive_session_deploys_an_app(up, app: str, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("OFFSET = 1000\n")
    assert deploy(INTERACTIVE.replace("$APP", app), tmp_path) == "1"
    (tmp_path / "beside.py").unlink()  # hosts use the bundle
    assert busfn.Function.from_name(app, "times").remote(2) == 1006
    assert busfn.Function.from_name(app, "nested").remote(3) == 1009
    (tmp_path / "beside.py").write_text("OFFSET = 0\n")
    assert deploy(INTERACTIVE.replace("$APP", app).replace("FACTOR = 3", "FACTOR = 5"), tmp_path) == "2"
    assert busfn.Function.from_name(app, "times", version=1).remote(2) == 1006
    assert busfn.Function.from_name(app, "nested", version=2).remote(2) == 10


def test_a_file_with_a_closure_deploys_both(up, app: str, script) -> None:
    path = script(
        """
        import busfn

        app = busfn.App("$APP")

        @app.function()
        def plain(x):
            return x

        def make(factor):
            @app.function(serialized=True)
            def closure(x):
                return plain.local(x) * factor

        make(7)
        """
    )
    up.busfn("deploy", path)
    assert [busfn.Function.from_name(app, name).remote(3) for name in ("plain", "closure")] == [3, 21]
