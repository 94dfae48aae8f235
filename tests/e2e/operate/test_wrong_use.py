"""What commands say to somebody who is wrong: what happened and what to do, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BUSFN = str(Path(sys.executable).parent / "busfn")

APP = """
    import busfn

    app = busfn.App("$APP")

    @app.function()
    def f() -> str:
        return "x" * 1_000_000

    @app.local_entrypoint()
    def main() -> None:
        for number in range(100_000):
            print(number)
"""

USES = [
    ("app history nobody", 1, "`busfn app list` shows"),
    ("app rollback nobody", 1, "not deployed"),
    ("app rollback APP", 1, "none before it to go back to"),
    ("app rollback APP v9", 1, "no version 9"),
    ("app rollback APP v1.5", 2, "write it as v2"),
    ("app stop nobody", 1, "`busfn app list` shows"),
    ("app stop APP", 1, "Aborted"),
    ("app stats nobody", 1, "`busfn app list` shows"),
    ("app describe nobody", 1, "`busfn app list` shows"),
    ("app logs nobody", 1, "see `busfn app list`"),
    ("function list --app nobody", 1, "`busfn app list` shows"),
    ("function stats APP", 2, "write it as APP/FUNCTION"),
    ("function stats APP/f/g", 2, "write it as APP/FUNCTION"),
    ("function stats APP/g", 1, "has no function 'g'"),
    ("function stats nobody/f", 1, "there is no app 'nobody'"),
    ("function scale APP/f", 2, "say what to change"),
    ("function scale APP/f --min -1", 1, "Error: `min_containers` must be at least 0, not -1"),
    ("function scale APP/f --min 5 --max 2", 1, "Error: `min_containers` (5) is greater than `max_containers` (2)"),
    ("function scale APP/f --max many", 2, "valid integer"),
    ("function scale APP/f --window 0", 1, "Error: `scaledown_window` must be more than 0"),
    ("function scale APP/g --min 1", 1, "(it has f)"),
    ("function scale nobody/f --min 1", 1, "there is no app 'nobody'"),
    ("call get nothing", 1, "it looks like app.function.0123abcd"),
    ("call get APP.f.0123abcd", 1, "there never was such a call"),
    ("call cancel nothing", 1, "it looks like app.function.0123abcd"),
    ("call cancel APP.f.0123abcd", 1, "is not known in environment 'main'"),
    ("call graph APP.f.0123abcd", 1, "is not known in environment 'main'"),
    ("call list --limit 0", 2, "--limit"),
    ("up --env a.b", 1, "Error: 'a.b' is no environment name"),
    ("up --data /proc/nowhere", 1, "the data folder /proc/nowhere cannot be made"),
    ("serve nothing.py", 1, "Error: there is no file nothing.py"),
    ("dead drop", 2, "--all"),
    ("worker stop nobody", 1, "`busfn worker list` shows"),
    ("dead show nothing", 1, "`busfn dead list` shows"),
    ("dead retry", 2, "--all"),
    ("app list --env a.b", 1, "Error: 'a.b' is no environment name"),
    ("health --env nowhere", 1, "busfn up --env nowhere"),
]
"""Arguments, exit code, and a part of what is said."""


def test_each_wrong_use_is_explained(up, app: str, script: Callable[..., str]) -> None:
    up.busfn("deploy", script(APP))
    for arguments, code, text in USES:
        done = up.run(*arguments.replace("APP", app).split())
        said = done.stdout + done.stderr
        assert (done.returncode, text in said, "Traceback" in said) == (code, True, False), f"{arguments}\n{said}"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nothing.py"], "there is no file nothing.py"),
        (["SCRIPT::other"], "no app 'other'"),
        (["SCRIPT", "--strategy", "fast"], "one of rolling, recreate"),
        (["SCRIPT", "--name", "a.b"], "is no app name"),
        (["-m", "nothing"], "no module 'nothing'"),
        (["SCRIPT", "--env", "a.b"], "Error: 'a.b' is no environment name"),
    ],
)
def test_what_cannot_be_deployed(up, script: Callable[..., str], arguments: list[str], text: str) -> None:
    done = up.run("deploy", *(one.replace("SCRIPT", script(APP)) for one in arguments))
    assert (done.returncode, text in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr


@pytest.mark.parametrize("command", ["app list", "worker list", "deploy SCRIPT", "health", "app logs APP"])
def test_without_a_bus_it_is_said_how_to_get_one(
    home: Path, app: str, script: Callable[..., str], command: str
) -> None:
    arguments = command.replace("SCRIPT", script(APP)).replace("APP", app).split()
    done = subprocess.run([BUSFN, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "start `busfn up`, or set BUSFN_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_commands_whose_reader_has_left_end_quietly(up, app: str, script: Callable[..., str]) -> None:
    path = script(APP)
    up.busfn("deploy", path)
    commands = (
        ["app", "list", "--json"], ["app", "describe", app],
        ["run", "--env", "elsewhere", path], ["run", "--env", "elsewhere", f"{path}::f"], ["run", path],
    )  # fmt: skip
    elsewhere = {**os.environ, "BUSFN_ENV": "elsewhere"}
    for command in commands:
        env = elsewhere if command == ["run", path] else None
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [BUSFN, *command], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False, env=env
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (1, b""), command
