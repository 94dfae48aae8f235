"""Parameters as options: which there are, what they give, what is refused."""

# ruff: noqa: UP006, UP045 (both ways to write a type are tested)

import datetime as dt
import decimal
import enum
import inspect
import pathlib
import typing
import uuid
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given as given_names
from hypothesis import strategies as st

from busfn.errors import ExecutionError, InvalidError
from busfn_cli.args import bind, flags_of, interface_of, split_docstring
from busfn_cli.entry import parse_arguments


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


def given(function: Any, line: str = "") -> dict[str, Any]:
    """What the function's parameters are when it is called for this command line."""
    args, kwargs = parse_arguments(function, line.split(), "prog")
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def value_of(annotation: Any, line: str) -> Any:
    """The value of a required parameter ``x``."""

    def function(x): ...

    function.__annotations__ = {"x": annotation}
    return given(function, line)["x"]


def assert_same(value: Any, expected: Any) -> None:
    assert value == expected
    assert type(value) is type(expected)


# One option for every parameter


@pytest.mark.parametrize(
    ("annotation", "line", "expected"),
    [
        (int, "--x 3", 3),
        (int, "--x=-3", -3),
        (int, "--x -3", -3),
        (float, "--x 1e3", 1000.0),
        (str, "--x 3", "3"),
        (str, "--x=", ""),
        (str, "--x --y", "--y"),
        (bool, "--x", True),
        (bool, "--no-x", False),
        (Optional[int], "--x 3", 3),
        (int | None, "--x 3", 3),
        ("int | None", "--x 3", 3),
        ("Optional[int]", "--x 3", 3),
        (Optional[bool], "--no-x", False),
        (Literal["a", "b"], "--x b", "b"),
        (Literal[1, 2], "--x 2", 2),
        (Optional[Literal[1, 2]], "--x 2", 2),
        (Literal["a"] | None, "--x a", "a"),
        (Annotated[int, "how many"], "--x 3", 3),
        (Annotated[Optional[int], "how many"], "--x 3", 3),
        (Color, "--x blue", Color.BLUE),
        (Optional[Color], "--x red", Color.RED),
        (pathlib.Path, "--x a/b", pathlib.Path("a/b")),
        (dt.date, "--x 2026-01-31", dt.date(2026, 1, 31)),
        (dt.datetime, "--x 2026-01-31T12:00:00", dt.datetime(2026, 1, 31, 12)),
        (dt.time, "--x 12:30", dt.time(12, 30)),
        (decimal.Decimal, "--x 0.10", decimal.Decimal("0.10")),
        (uuid.UUID, f"--x {uuid.UUID(int=7)}", uuid.UUID(int=7)),
        (list[int], "--x 1 --x 2 --x 1", [1, 2, 1]),
        (list, "--x 1", ["1"]),
        (typing.List, "--x 1", ["1"]),
        (typing.List[int], "--x 1", [1]),
        (list[Color], "--x red --x blue", [Color.RED, Color.BLUE]),
        (list[int] | None, "--x 1", [1]),
        (tuple[int, ...], "--x 1 --x 2", (1, 2)),
        (tuple, "--x a", ("a",)),
        (set[int], "--x 1 --x 2 --x 1", {1, 2}),
        (frozenset[str], "--x a", frozenset({"a"})),
        (list[bool], "--x true --x false", [True, False]),
    ],
)
def test_the_annotation_says_what_an_option_gives(annotation, line, expected):
    assert_same(value_of(annotation, line), expected)


@pytest.mark.parametrize(
    ("default", "line", "expected"),
    [
        (1.5, "--x 2", 2.0),
        (1, "--x 2", 2),
        ("a", "--x 2", "2"),
        (None, "--x 2", "2"),
        (True, "--no-x", False),
        (False, "--x", True),
        (Color.RED, "--x blue", Color.BLUE),
        (pathlib.Path("a"), "--x b", pathlib.Path("b")),
        (dt.date(2026, 1, 1), "--x 2026-01-31", dt.date(2026, 1, 31)),
        ([1], "--x 2 --x 3", [2, 3]),
        ((1.5, 2.5), "--x 2", (2.0,)),
        ({"a"}, "--x b", {"b"}),
        ([], "--x 2", ["2"]),
        ([1, "a"], "--x 2", ["2"]),
    ],
)
def test_without_an_annotation_the_default_says_what_an_option_gives(default, line, expected):
    def function(x=default): ...

    assert_same(given(function, line)["x"], expected)
    assert_same(given(function)["x"], default)


def test_without_annotation_and_default_an_option_gives_text():
    def function(x): ...

    assert given(function, "--x 3") == {"x": "3"}


def test_options_not_given_leave_the_defaults():
    marker = object()

    def function(
        a: int = 1, b: Optional[int] = None, c: bool = True, d: Optional[bool] = None, e: list[int] | None = None,
        f: int = marker,
    ): ...  # fmt: skip

    assert given(function) == {"a": 1, "b": None, "c": True, "d": None, "e": None, "f": marker}
    assert parse_arguments(function, [], "prog") == ((), {})


def test_falsy_values_are_not_taken_for_missing_ones():
    def function(a: int = 1, b: str = "b", c: bool = True, d: float = 1.0): ...

    assert given(function, "--a 0 --b= --no-c --d 0") == {"a": 0, "b": "", "c": False, "d": 0.0}


def test_underscores_become_dashes_and_capitals_stay():
    def function(dry_run: bool = False, X: int = 0, camelCase: str = ""): ...

    assert given(function, "--dry-run --X 1 --camelCase a") == {"dry_run": True, "X": 1, "camelCase": "a"}


def test_names_that_the_machinery_uses_itself_are_free():
    def function(self: int, cls: int, ctx: int, args: int, kwargs: int, values: int, param: int): ...

    names = ("self", "cls", "ctx", "args", "kwargs", "values", "param")
    line = " ".join(f"--{name} {number}" for number, name in enumerate(names))
    assert given(function, line) == {name: number for number, name in enumerate(names)}


def test_every_kind_of_parameter_gets_an_option():
    def function(a: int, b: tuple[int, ...] = (), c: int = 3, /, d: int = 4, *, e: int, f: int = 6): ...

    expected = {"a": 1, "b": (2, 2), "c": 3, "d": 4, "e": 5, "f": 6}
    assert given(function, "--e 5 --a 1 --b 2 --b 2") == expected


def test_further_keywords_are_no_option():
    def function(x: int = 1, **kw: int): ...

    assert parse_arguments(function, ["--x", "2"], "prog") == ((), {"x": 2})
    assert list(interface_of(function).names.values()) == ["x"]


def test_bind_leaves_out_what_was_not_given():
    def function(a, /, b, c): ...

    assert bind(function, {"a": 1, "b": None, "c": []}) == ((1,), {})


# All of the command line


def test_args_alone_get_all_tokens_as_they_are():
    def function(*args): ...

    tokens = ["abc", "--foo=123", "--help", "-x", "--", "", "a b"]
    assert parse_arguments(function, tokens, "prog") == (tuple(tokens), {})


def test_args_get_text_whatever_their_annotation():
    def function(*args: int): ...

    assert parse_arguments(function, ["1"], "prog") == (("1",), {})


def test_args_beside_others_are_refused():
    def before(x: int, *args: str): ...
    def after(*args: str, x: int): ...
    def both(*args: str, **kw: str): ...

    for function in (before, after, both):
        with pytest.raises(InvalidError, match=rf"{function.__name__}: `\*args` .* must stand alone"):
            interface_of(function)


# Refused before anything runs


@pytest.mark.parametrize(
    ("annotation", "shown"),
    [
        (Any, "Any"),
        (bytes, "bytes"),
        (int | str, "int | str"),
        (dict[str, int], "dict[str, int]"),
        (list[Any], "list[Any]"),
        (list[list[int]], "list[list[int]]"),
        (tuple[int, str], "tuple[int, str]"),
        (Optional[dict], "dict"),
        (Literal[1, "1"], "Literal[1, '1']"),
    ],
)
def test_an_annotation_without_a_form_is_refused(annotation, shown):
    def function(fine: int = 1, *, x): ...

    function.__annotations__["x"] = annotation
    with pytest.raises(InvalidError) as caught:
        interface_of(function)
    assert str(caught.value) == f"parameter `x` has the annotation {shown}, which has no form on a command line"


@pytest.mark.parametrize("default", [{}, {"a": 1}, b"", object(), print, 1j, range(3), [[1]]])
def test_command_line_leaves_a_default_that_no_text_can_say(default):
    def function(n: int = 1, opts=default): ...

    assert given(function, "--n 2") == {"n": 2, "opts": default}
    assert interface_of(function).help == "No text can say a value of `opts`: the default is used."


@pytest.mark.parametrize("annotation", [Any, bytes, int | str, dict[str, int], Optional[dict]])
def test_an_annotation_without_a_form_leaves_the_default(annotation):
    def function(n: int = 1, x=None): ...

    function.__annotations__["x"] = annotation
    assert given(function, "--n 2") == {"n": 2, "x": None}


def test_command_line_keeps_a_name_and_the_no_of_another_apart():
    def clash(no_cache: bool = False, cache: bool = True): ...

    assert given(clash, "--no-cache") == {"no_cache": True, "cache": True}
    assert given(clash, "--cache false") == {"no_cache": False, "cache": False}
    assert given(clash, "--no-no-cache --cache true") == {"no_cache": False, "cache": True}


def test_command_line_takes_every_name():
    def function(
        self=1, ctx=1, help=1, _x=1, x=1, x_=1, class_=1, größe=1, _=1, __=1, a_b=1, env=1, detach=1, quiet=1,
        write_result=1, callback=1, p0=1, p1=1, func=1, name=1, args=1, kwargs=1, help_=1,
    ): ...  # fmt: skip

    names = list(inspect.signature(function).parameters)
    flags = flags_of(names)
    assert len(set(flags.values())) == len(names)
    assert {name: flags[name] for name in ("x", "_x", "x_", "class_", "_", "a_b")} == {
        "x": "x", "_x": "_x", "x_": "x_", "class_": "class", "_": "_", "a_b": "a-b",
    }  # fmt: skip
    line = " ".join(f"--{flags[name]} {number}" for number, name in enumerate(names))
    assert given(function, line) == {name: number for number, name in enumerate(names)}


@given_names(st.lists(st.from_regex(r"[a-c_]{1,4}|help_?|no_[ab]", fullmatch=True), unique=True, max_size=8))
def test_no_two_parameters_share_an_option(names):
    flags = flags_of(names)
    assert list(flags) == [*dict.fromkeys([*(n for n in names if n == n.strip("_") and n != "help"), *names])]
    assert len(set(flags.values())) == len(names)
    assert "help" not in flags.values()
    assert not any(flag.startswith("-") or not flag for flag in flags.values())


@pytest.mark.parametrize("annotation", ["Nope", "1 +", "int.nope"])
def test_annotations_that_cannot_be_evaluated_are_refused(annotation):
    def function(x): ...

    function.__annotations__ = {"x": annotation}
    with pytest.raises(ExecutionError, match=r"no command line can be made for function, because its annotations"):
        interface_of(function)


# What docstrings say


@pytest.mark.parametrize(
    ("doc", "text", "described"),
    [
        ("", "", {}),
        ("Do it.", "Do it.", {}),
        ("Do it.\n\nAnd more: this.", "Do it.\n\nAnd more: this.", {}),
        (
            "Do it.\n\nArgs:\n    x: How many.\n    y (int, optional): The other.\n    **kw: Rest.",
            "Do it.",
            {"x": "How many.", "y": "The other.", "kw": "Rest."},
        ),
        ("Args:\n    x: How many.\n\nReturns:\n    A sum.", "Returns:\n    A sum.", {"x": "How many."}),
        ("Arguments:\n    x: How many.\nThat is all.", "That is all.", {"x": "How many."}),
        ("Do it.\n\n:param x: How many.\n:param int y: The other.", "Do it.", {"x": "How many.", "y": "The other."}),
        ("Do it.\n\n:param x: How many.\n:returns: A sum.", "Do it.\n\n:returns: A sum.", {"x": "How many."}),
    ],
)
def test_docstrings_are_split_into_text_and_parameters(doc, text, described):
    assert split_docstring(doc) == (text, described)


def test_the_interface_has_the_docstrings_text():
    def function(x: int = 1):
        """Do it.

        Args:
            x: How many.
        """

    assert interface_of(function).help == "Do it."
