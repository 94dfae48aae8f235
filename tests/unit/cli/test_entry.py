"""What a wrong or asking command line for the function shows, and how it ends."""

import enum
from typing import Any

import pytest

from busfn_cli.entry import parse_arguments


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


def example(
    count: int,
    force: bool,
    color: Color = Color.RED,
    dry_run: bool = False,
    tags: list[str] | None = None,
    maybe: bool | None = None,
    *,
    ratio=0.5,
):
    """Do it all [bold]at once[/bold].

    And then some.

    Args:
        count: How many.
        ratio: How much of it.
    """


def ending(capsys: pytest.CaptureFixture[str], line: str, function: Any = example) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line that ends the process."""
    with pytest.raises(SystemExit) as caught:
        parse_arguments(function, line.split(), "busfn run a.py")
    assert isinstance(caught.value.code, int)
    return caught.value.code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--force", "Missing option '--count'"),
        ("--count 1", "Missing option '--force'"),
        ("--force --count", "Option '--count' requires an argument"),
        ("--force --count 1.5", "Invalid value for '--count': '1.5' is not a valid integer."),
        ("--force --count 1 --color green", "Invalid value for '--color': 'green' is not one of red, blue."),
        ("--force --count 1 --ratio much", "Invalid value for '--ratio': 'much' is not a valid number."),
        ("--force=true --count 1", "Option '--force' does not take a value"),
        ("--force --count 1 --dry_run", "No such option: --dry_run"),
        ("--force --count 1 --nothing", "No such option: --nothing"),
        ("--force --count 1 -c 1", "No such option: -c"),
        ("--force --count 1 2", "unexpected extra argument"),
        ("--force --count 1 -- --count", "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(capsys, line, message):
    code, out, err = ending(capsys, line)
    assert code == 2
    assert message in err
    assert "Usage: busfn run a.py" in err or "requires an argument" in err or "does not take a value" in err
    assert "Traceback" not in err
    assert out == ""


def test_a_positional_argument_is_a_usage_error(capsys):
    def function(x: int): ...

    assert ending(capsys, "1", function)[0] == 2


def test_an_optional_annotation_without_a_default_is_required(capsys):
    def function(x: int | None): ...

    code, _, err = ending(capsys, "", function)
    assert code == 2
    assert "Missing option '--x'" in err


def test_a_required_list_needs_one_item(capsys):
    def function(x: list[int]): ...

    code, _, err = ending(capsys, "", function)
    assert code == 2
    assert "Missing option '--x'" in err


def test_a_function_without_parameters_takes_none(capsys):
    def function(): ...

    assert parse_arguments(function, [], "busfn run a.py") == ((), {})
    assert ending(capsys, "--x 1", function)[0] == 2


def test_help_shows_options_defaults_and_the_docstring(capsys):
    code, out, err = ending(capsys, "--help")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "Usage: busfn run a.py [OPTIONS]"
    assert "Do it all [bold]at once[/bold]." in lines
    assert "And then some." in lines
    assert "--count INTEGER How many. [required]" in lines
    assert "--force / --no-force [required]" in lines
    assert "--color [red|blue] [default: red]" in lines
    assert "--dry-run / --no-dry-run [default: no]" in lines
    assert "--tags TEXT" in lines
    assert "--maybe / --no-maybe" in lines
    assert "--ratio FLOAT How much of it. [default: 0.5]" in lines
    assert not any("Args" in line for line in lines)


def test_help_wins_over_a_wrong_command_line(capsys):
    assert ending(capsys, "--count x --help")[0] == 0


def test_functions_do_not_run_while_their_arguments_are_parsed():
    def function(x: int = 1) -> None:
        raise AssertionError("it ran")

    assert parse_arguments(function, ["--x", "2"], "busfn run a.py") == ((), {"x": 2})


def defaults(count: int = 3, payload: bytes = b"", **rest: int): ...


def test_without_a_command_line_the_defaults_hold_whatever_their_types():
    assert parse_arguments(defaults, [], "busfn run a.py") == ((), {})
