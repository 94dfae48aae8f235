"""The progress bar: on a terminal, and only there."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

BUSFN = str(Path(sys.executable).parent / "busfn")
SCRIPT = """
import time
import busfn

app = busfn.App("bar")

@app.function()
def f(x: int) -> int:
    time.sleep(0.01)
    return x

@app.local_entrypoint()
def main():
    print(sum(f.map(range(60))))
"""


def run_on_a_terminal(directory: Path, *options: str, script: str = SCRIPT) -> tuple[str, str]:
    """stdout, and what a terminal that is stderr gets."""
    (directory / "bar.py").write_text(script)
    ours, theirs = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(ours, 4096):
                seen.append(data)
        except OSError:  # Linux says that nobody holds the other end any more
            return

    reader = threading.Thread(target=read)
    reader.start()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BUSFN_", "NATS_"))}
    done = subprocess.run(
        [BUSFN, "run", *options, "bar.py"],
        cwd=directory,
        env={**env, "HOME": str(directory), "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        timeout=60,
        check=True,
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    return done.stdout, b"".join(seen).decode()


def test_a_map_shows_its_progress_on_a_terminal(tmp_path: Path) -> None:
    stdout, terminal = run_on_a_terminal(tmp_path)
    assert stdout == "1770\n"
    assert "/60" in terminal


def test_quiet_shows_none(tmp_path: Path) -> None:
    stdout, terminal = run_on_a_terminal(tmp_path, "-q")
    assert stdout == "1770\n"
    assert terminal == ""


@pytest.mark.parametrize("options", [(), ("-q",)])
def test_a_pipe_gets_none(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "bar.py").write_text(SCRIPT)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BUSFN_", "NATS_"))}
    done = subprocess.run(
        [BUSFN, "run", *options, "bar.py"],
        cwd=tmp_path, env={**env, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("1770\n", "")


REDRAWN = """
import sys
import time
import busfn

app = busfn.App("bar")

@app.function()
def f(x: int) -> int:
    for percent in range(0, 100, 2):
        sys.stderr.write(f"\\r{percent}%|bar{x}")  # as tqdm does it
        sys.stderr.flush()
        time.sleep(0.05)
    sys.stderr.write(f"\\r100%|bar{x}\\n")
    print("\\x1b[31mred\\x1b]0;title\\x07")
    return x

@app.local_entrypoint()
def main():
    calls = [f.spawn(n) for n in range(2)]
    print([call.get(timeout=30) for call in calls])
"""


def test_a_redrawn_line_is_one_line_on_a_terminal(tmp_path: Path) -> None:
    stdout, terminal = run_on_a_terminal(tmp_path, script=REDRAWN)
    assert stdout == "[0, 1]\n"
    for n in range(2):
        states = re.findall(rf"f \| (\d+)%\|bar{n}", terminal)
        assert states[-1] == "100"
        assert len(set(states)) > 1, "while it is drawn, and at last"
        assert len(re.findall(rf"f \| 100%\|bar{n} *\r\n", terminal)) == 1, "above what is redrawn it stands once"
    assert r"red\x1b]0;title\x07" in terminal
    assert "\x1b]0" not in terminal


def test_a_pipe_gets_the_final_state_of_a_redrawn_line_and_no_control_characters(tmp_path: Path) -> None:
    (tmp_path / "bar.py").write_text(REDRAWN)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BUSFN_", "NATS_"))}
    done = subprocess.run(
        [BUSFN, "run", "bar.py"],
        cwd=tmp_path, env={**env, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    lines = done.stderr.split("\n")
    assert sorted(lines) == sorted(
        ["", *(f"f | 100%|bar{n}" for n in range(2)), *[r"f | " + "\x1b[31mred" + r"\x1b]0;title\x07" + "\x1b[0m"] * 2]
    )
