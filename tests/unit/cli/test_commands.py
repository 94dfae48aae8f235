"""Every command explains itself, and wrong use is answered with a usage error."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from click.testing import Result
from typer.testing import CliRunner

from busfn_cli.commands.root import build
from busfn_cli.main import is_plain_run, with_default

BUSFN = str(Path(sys.executable).parent / "busfn")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands that do something, with the words that lead to them."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in inner.items():
        yield from commands(one, (*path, name))


ALL = dict(commands(typer.main.get_command(build())))
NEEDY = [path for path, one in ALL.items() if any(parameter.required for parameter in one.params)]
WRONG = [("nothing",), ("app", "nothing"), ("app", "list", "--nothing"), ("up", "--port", "x")]


def busfn(*args: str) -> Result:
    return CliRunner().invoke(build(), args, prog_name="busfn")


def process(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BUSFN, *args], capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **env}
    )


def test_the_commands_are_these() -> None:
    assert {" ".join(path) for path in ALL} == {
        "run", "serve", "deploy", "up", "url", "health",
        "app list", "app history", "app rollback", "app stop", "app stats", "app describe", "app logs",
        "function list", "function stats", "function scale",
        "call get", "call cancel", "call list", "call graph",
        "worker run", "worker list", "worker stop",
        "dead list", "dead show", "dead retry", "dead drop",
    }  # fmt: skip


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_says_what_it_does_with_an_example(path: tuple[str, ...]) -> None:
    help_ = ALL[path].help
    assert help_
    assert "Example: " in help_
    assert "busfn " + path[0] in help_.partition("Example: ")[2]
    for parameter in ALL[path].params:
        if parameter.param_type_name == "option":
            assert parameter.help, f"{' '.join(path)} --{parameter.name}"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_list_has_json(path: tuple[str, ...]) -> None:
    if path[-1] in ("list", "history", "stats", "describe", "graph", "health"):
        assert "as_json" in {parameter.name for parameter in ALL[path].params}


@pytest.mark.parametrize("path", NEEDY, ids=" ".join)
def test_a_command_that_lacks_an_argument_says_how_to_use_it(path: tuple[str, ...]) -> None:
    done = busfn(*path)
    assert done.exit_code in (0, 2)
    assert "Usage: busfn" in done.output


@pytest.mark.parametrize("args", WRONG, ids=" ".join)
def test_wrong_use_is_a_usage_error(args: tuple[str, ...]) -> None:
    done = busfn(*args)
    assert done.exit_code == 2
    assert "Usage: busfn" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell: str) -> None:
    done = process(_BUSFN_COMPLETE=f"source_{shell}")  # what `--show-completion` prints inside such a shell
    assert "_BUSFN_COMPLETE" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [("busfn he", {"health"}), ("busfn app de", {"describe"}), ("busfn app logs --fo", {"--follow"})],
)
def test_bash_is_told_what_may_come(line: str, words: set[str]) -> None:
    done = process(_BUSFN_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(line.count(" ")))
    assert set(done.stdout.split()) == words


def test_run_may_be_left_out_behind_worker() -> None:
    assert with_default(["worker", "app.py", "-n", "2"]) == ["worker", "run", "app.py", "-n", "2"]
    for given in (["worker"], ["worker", "list"], ["worker", "--help"], ["run", "app.py"], []):
        assert with_default(given) == given


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("run app.py", True),
        ("run app.py::f --x 4 -q", True),
        ("run app.py --help", True),
        ("run -q app.py", False),
        ("run -m app", False),
        ("run --help", False),
        ("run", False),
        ("serve app.py", False),
        ("", False),
    ],
)
def test_a_run_without_options_of_its_own_needs_no_parser(line: str, plain: bool) -> None:
    assert is_plain_run(line.split()) == plain
