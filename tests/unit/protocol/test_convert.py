from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import decimal
import enum
import typing
import uuid
from typing import Annotated, Any, Literal, NewType, Optional, Protocol, TypedDict, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.errors import InvalidError
from busfn.protocol.convert import BadCall, Interface
from busfn.protocol.forms.build import form_of
from busfn.protocol.forms.form import Misfit, Run, explain


class Color(enum.Enum):
    RED = "red"
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1


class Fussy(enum.Enum):
    ONE = 1

    @classmethod
    def _missing_(cls, value):
        raise KeyError(value)


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


@dataclasses.dataclass
class Line:
    start: Point
    rest: list[Point]
    color: Color | None = None
    made: int = dataclasses.field(init=False, default=7)


@dataclasses.dataclass
class Even:
    n: int

    def __post_init__(self):
        if self.n % 2:
            raise KeyError("odd")


@dataclasses.dataclass
class Node:
    value: int
    next: Node | None = None


class Shape(TypedDict):
    sides: int


class Walks(Protocol):
    def walk(self) -> None: ...


class Opaque:
    pass


UserId = NewType("UserId", int)
ANN = uuid.UUID("12345678-1234-5678-1234-567812345678")
AT = dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)


def convert(value: object, hint: Any, path: str) -> Any:
    try:
        return form_of(hint).read(value, Run())
    except Misfit as misfit:
        raise BadCall(explain(misfit, path)) from None


def same(one: object, other: object) -> bool:
    return one == other and type(one) is type(other)


@pytest.mark.parametrize(
    ("value", "hint", "converted"),
    [
        (1, int, 1),
        (1, float, 1.0),
        (1.5, float, 1.5),
        ("a", str, "a"),
        (True, bool, True),
        (None, None, None),
        (None, type(None), None),
        (b"a", bytes, b"a"),
        ("red", Color, Color.RED),
        (2, Color, Color.BLUE),
        (Color.RED, Color, Color.RED),
        (1, Level, Level.LOW),
        ("2026-01-02T03:04:00+00:00", dt.datetime, AT),
        (AT, dt.datetime, AT),
        ("2026-01-02", dt.date, dt.date(2026, 1, 2)),
        ("03:04", dt.time, dt.time(3, 4)),
        (str(ANN), uuid.UUID, ANN),
        ("1.10", decimal.Decimal, decimal.Decimal("1.10")),
        (3, decimal.Decimal, decimal.Decimal(3)),
        (1.1, decimal.Decimal, decimal.Decimal("1.1")),
        ([1, 2], list[int], [1, 2]),
        ((1, 2), list[int], [1, 2]),
        ([1, 2, 1], set[int], {1, 2}),
        ([1], frozenset[int], frozenset({1})),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([1, "a"], tuple[int, str], (1, "a")),
        ([1, "a"], tuple, (1, "a")),
        ([[1], []], list[list[int]], [[1], []]),
        ([1, "a"], list, [1, "a"]),
        ([1, "a"], typing.List, [1, "a"]),  # noqa: UP006
        ({"a": 1}, dict[str, int], {"a": 1}),
        ({"a": 1}, dict, {"a": 1}),
        ({"1": "a"}, dict[int, str], {1: "a"}),
        ({"1.5": "a"}, dict[float, str], {1.5: "a"}),
        ({1: "a"}, dict[int, str], {1: "a"}),
        ({"2026-01-02": [1]}, dict[dt.date, list[int]], {dt.date(2026, 1, 2): [1]}),
        ({"red": 1}, dict[Color, int], {Color.RED: 1}),
        ({"x": 1}, Point, Point(1, 0.0)),
        ({"x": 1, "y": 2}, Point, Point(1, 2.0)),
        ({"value": 1, "next": {"value": 2}}, Node, Node(1, Node(2))),
        (1, Optional[int], 1),  # noqa: UP045
        (None, Optional[int], None),  # noqa: UP045
        ("2026-01-02", dt.date | None, dt.date(2026, 1, 2)),
        ("5", Union[int, str], "5"),  # noqa: UP007
        (5, str | int, 5),
        (5, float | None, 5.0),
        (True, int | bool, True),
        (["2026-01-02"], list[dt.date] | None, [dt.date(2026, 1, 2)]),
        ({"x": 1}, int | Point, Point(1)),
        ("a", Literal["a", 1], "a"),
        (1, Literal["a", 1], 1),
        (1, Annotated[float, "note"], 1.0),
        ([1], list[Annotated[float, ["unhashable"]]], [1.0]),
        (3, UserId, 3),
        (object, Any, object),
        ([1], Any, [1]),
        (1, object, 1),
        ({"sides": 3}, Shape, {"sides": 3}),
        (1, Walks, 1),
        (1.0, int, 1),
        ("YQ==", bytes, b"a"),
        ("x", typing.TypeVar("T"), "x"),
        ("x", [int], "x"),
    ],
    ids=repr,
)
def test_values_become_what_the_annotation_says(value, hint, converted):
    assert same(convert(value, hint, "p"), converted)


def test_nested_dataclasses_are_built_all_the_way_down():
    value = {"start": {"x": 1}, "rest": [{"x": 2, "y": 3}], "color": "red"}
    assert convert(value, Line, "line") == Line(Point(1), [Point(2, 3.0)], Color.RED)


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        ("1", int, "`p` must be a whole number, not '1'"),
        (1.5, int, "`p` must be a whole number, not 1.5"),
        (2.0**60, int, "`p` must be a whole number, not 1.152921504606847e+18"),
        ("x", collections.abc.Sequence[int], "`p` must be a list, not 'x'"),
        ("x", collections.abc.Callable[[int], str], "`p` must be a Callable, which cannot be sent"),
        ("x", Opaque, "`p` must be a Opaque, which cannot be sent by callers of other kinds"),
        (True, int, "`p` must be a whole number, not True"),
        (None, int, "`p` must be a whole number, not None"),
        ("1.5", float, "`p` must be a number, not '1.5'"),
        (True, float, "`p` must be a number, not True"),
        (10**400, float, "`p` must be a number that a float can hold"),
        (10**5000, str, "`p` must be text, not a int too long to show"),
        (1, str, "`p` must be text, not 1"),
        (b"a", str, "`p` must be text, not b'a'"),
        (1, bool, "`p` must be true or false, not 1"),
        ("true", bool, "`p` must be true or false, not 'true'"),
        (0, None, "`p` must be null, not 0"),
        ("a", bytes, "`p` must be bytes as base64, not 'a'"),
        ("green", Color, "`p` must be one of 'red', 2, not 'green'"),
        ([], Color, "`p` must be one of 'red', 2, not []"),
        (2, Fussy, "`p` must be one of 1, not 2"),
        ("soon", dt.datetime, "`p` must be a datetime as text, not 'soon'"),
        (5, dt.datetime, "`p` must be a datetime as text, not 5"),
        (20240101, dt.date, "`p` must be a date as text, not 20240101"),
        ("25:00", dt.time, "`p` must be a time as text"),
        ("x", uuid.UUID, "`p` must be a UUID as text"),
        (10**32, uuid.UUID, "`p` must be a UUID as text"),
        ("one", decimal.Decimal, "`p` must be a Decimal as text"),
        (True, decimal.Decimal, "`p` must be a Decimal as text"),
        (10**5000, decimal.Decimal, "`p` must be a Decimal as text"),
        (10**5000, dt.date, "`p` must be a date as text"),
        ("ab", list[str], "`p` must be a list, not 'ab'"),
        ({"a": 1}, list[str], "`p` must be a list"),
        ([1, "a"], list[int], "`p[1]` must be a whole number, not 'a'"),
        ([[1], ["a"]], list[list[int]], "`p[1][0]` must be a whole number"),
        ([[1]], set[list[int]], "`p`: unhashable type: 'list'"),
        ([1], tuple[int, str], "`p` must be a list of 2, not [1]"),
        ([1, 2], tuple[int, str], "`p[1]` must be text, not 2"),
        ([], dict[str, int], "`p` must be an object, not []"),
        ({"a": "b"}, dict[str, int], "`p['a']` must be a whole number, not 'b'"),
        ({10**5000: "b"}, dict[int, int], "`p[a int too long to show]` must be a whole number"),
        ({"a": 1}, dict[int, int], "`p key` must be a whole number, not 'a'"),
        ({1: 1}, dict[str, int], "`p key` must be text, not 1"),
        ([1], Point, "`p` must be an object (Point), not [1]"),
        ({"x": "1"}, Point, "`p.x` must be a whole number, not '1'"),
        ({"x": 1, "z": 2}, Point, "`p` must be a field of Point (x, y), not 'z'"),
        ({1: 2}, Point, "`p` must be a field of Point (x, y), not 1"),
        ({"y": 2}, Point, "`p.x` is missing"),
        ({"start": {"x": 1}, "rest": [{"x": "?"}]}, Line, "`p.rest[0].x` must be a whole number, not '?'"),
        ({"start": {"x": 1}, "rest": [], "made": 1}, Line, "must be a field of Line"),
        ({"n": 3}, Even, "`p`: 'odd'"),
        ("a", Optional[int], "`p` must be a whole number, not 'a'; or `p` must be null, not 'a'"),  # noqa: UP045
        (True, int | str, "`p` must be a whole number, not True; or `p` must be text, not True"),
        ("b", Literal["a", 1], "`p` must be one of 'a', 1, not 'b'"),
        (True, Literal["a", 1], "`p` must be one of 'a', 1, not True"),
        (1.0, Literal[1], "`p` must be one of 1, not 1.0"),
        ("a", UserId, "`p` must be a whole number"),
        ("a", Annotated[int, "note"], "`p` must be a whole number"),
        ("y" * 500, int, "not '" + "y" * 76 + "..."),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else type(value).__name__,
)
def test_what_does_not_fit_is_refused_with_path_and_reason(value, hint, message):
    with pytest.raises(BadCall) as caught:
        convert(value, hint, "p")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_pydantic_model_is_validated():
    pydantic = pytest.importorskip("pydantic")
    person = pydantic.create_model("Person", name=(str, ...), age=(int, ...))
    assert convert([{"name": "Ann", "age": 3}], list[person], "people") == [person(name="Ann", age=3)]
    with pytest.raises(BadCall, match=r"(?s)`people\[0\]`: .*age"):
        convert([{"name": "Ann", "age": "old"}], list[person], "people")
    given = person(name="Ann", age=3)
    assert convert(given, person, "p") is given


def test_a_bad_call_is_an_invalid_error():
    assert issubclass(BadCall, InvalidError)


# Whole calls


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    args, kwargs = Interface.of(function).convert(args, kwargs)
    return function(*args, **kwargs)


def test_every_kind_of_parameter_is_converted():
    def function(a: float, /, b: dt.date, *rest: Color, key: float = 1.5, **more: Point):
        return a, b, rest, key, more

    result = call(function, 1, "2026-01-02", "red", 2, key=3, p={"x": 1})
    assert result == (1.0, dt.date(2026, 1, 2), (Color.RED, Color.BLUE), 3.0, {"p": Point(1)})
    assert same(result[0], 1.0)
    assert same(result[3], 3.0)


def test_defaults_are_left_alone():
    def function(a: int = "not a number"):  # type: ignore[assignment]
        return a

    assert call(function) == "not a number"


def test_parameters_without_annotations_take_anything():
    def function(a, *b, c=1, **d):
        return a, b, c, d

    assert call(function, [1], None, "x", c={}, e=2.5) == ([1], (None, "x"), {}, {"e": 2.5})


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"z": 1}, "got an unexpected keyword argument 'z'"),
        ((1,), {"a": 1}, "multiple values for argument 'a'"),
        (("x",), {}, "`a` must be a whole number, not 'x'"),
        ((1,), {"b": "x"}, "`b` must be a whole number, not 'x'"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_readably(args, kwargs, message):
    def function(a: int, b: int = 2):
        raise AssertionError("it must not run")

    with pytest.raises(BadCall) as caught:
        call(function, *args, **kwargs)
    assert message in str(caught.value)


def test_the_place_in_star_arguments_is_named():
    def function(*rest: int, **more: int):
        raise AssertionError("it must not run")

    with pytest.raises(BadCall, match=r"`rest\[1\]` must be"):
        call(function, 1, "x")
    with pytest.raises(BadCall, match="`k` must be"):
        call(function, k="x")


def test_annotations_that_cannot_be_evaluated_check_nothing():
    def function(a: NoSuchName):  # noqa: F821
        return a

    assert call(function, "x") == "x"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2) | st.integers() | st.sampled_from(["x", "y", "start", "rest"]), inner)
        | st.frozensets(st.integers(), max_size=2)
    ),
    max_leaves=6,
)
HINTS = [
    int, float, str, bool, bytes, None, Color, Level, Fussy, dt.datetime, dt.date, dt.time, uuid.UUID, decimal.Decimal,
    list[int], set[list[int]], tuple[int, str], tuple[int, ...], dict[int, dt.date], dict[str, Point], Point, Line,
    Even, Node, int | None, Point | list[Point], Literal["a", 1], Shape, Walks, Any, UserId,
]  # fmt: skip


@given(anything, st.sampled_from(HINTS))
def test_any_value_is_converted_or_refused_and_nothing_else(value, hint):
    try:
        converted = convert(value, hint, "p")
    except BadCall as refusal:
        message = str(refusal)
        assert "`p" in message
        return
    if hint in (int, float, str, bool):
        assert type(converted) is hint
