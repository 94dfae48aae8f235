from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import decimal
import enum
import json
import typing
import uuid
from typing import Annotated, Any, Literal, NewType, Optional

import pytest

from busfn.protocol.schema import describe, schema_of


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0
    tags: list[str] = dataclasses.field(default_factory=list)
    hidden: int = dataclasses.field(init=False, default=1)


@dataclasses.dataclass
class Node:
    value: int
    next: Node | None = None


@dataclasses.dataclass
class Unknown:
    what: NoSuchName  # noqa: F821


POINT = {
    "type": "object",
    "title": "Point",
    "properties": {
        "x": {"type": "integer"},
        "y": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["x"],
    "additionalProperties": False,
}
INTEGERS = {"type": "array", "items": {"type": "integer"}}


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (dt.datetime, {"type": "string", "format": "date-time"}),
        (dt.date, {"type": "string", "format": "date"}),
        (dt.time, {"type": "string", "format": "time"}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (decimal.Decimal, {"anyOf": [{"type": "string"}, {"type": "number"}]}),
        (bytes, {"type": "string", "contentEncoding": "base64"}),
        (Any, {}),
        (object, {}),
        (typing.TypeVar("T"), {}),
        ([int], {}),
        (list, {"type": "array"}),
        (frozenset, {"type": "array"}),
        (dict, {"type": "object"}),
        (typing.List, {"type": "array"}),  # noqa: UP006
        (typing.Dict, {"type": "object"}),  # noqa: UP006
        (list[int], INTEGERS),
        (set[int], INTEGERS),
        (frozenset[int], INTEGERS),
        (tuple[int, ...], INTEGERS),
        (collections.abc.Sequence[int], INTEGERS),
        (collections.abc.Iterator[int], INTEGERS),
        (collections.abc.Generator[int, None, None], INTEGERS),
        (collections.abc.AsyncIterator[int], INTEGERS),
        (collections.abc.AsyncGenerator[int, None], INTEGERS),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False, "minItems": 2},
        ),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (collections.abc.Mapping[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (collections.Counter[str], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (collections.abc.Callable[[int], str], {"not": {}, "description": "a Callable"}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Annotated[int, "note"], {"type": "integer"}),
        (Annotated[int, ["unhashable"]], {"type": "integer"}),
        (NewType("UserId", int), {"type": "integer"}),
        (Color, {"enum": ["red", "blue"]}),
        (Point, POINT),
        (list[Point], {"type": "array", "items": POINT}),
        (
            Unknown,
            {
                "type": "object",
                "title": "Unknown",
                "properties": {"what": {}},
                "required": ["what"],
                "additionalProperties": False,
            },
        ),
    ],
    ids=repr,
)
def test_the_schema_of_an_annotation(hint, schema):
    assert schema_of(hint) == schema
    json.dumps(schema_of(hint))


def test_a_dataclass_that_holds_itself_ends():
    schema = schema_of(list[Node])
    assert schema["items"] == {"$ref": "#/$defs/Node"}
    assert schema["$defs"]["Node"]["properties"]["next"] == {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}


def test_the_same_dataclass_twice_side_by_side_is_described_twice():
    assert schema_of(tuple[Point, Point])["prefixItems"] == [POINT, POINT]


def test_schemas_can_be_changed_without_harm():
    schema_of(int)["type"] = "changed"
    assert schema_of(int) == {"type": "integer"}


def test_a_pydantic_model_describes_itself():
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Person", name=(str, ...))
    assert schema_of(model) == model.model_json_schema()


def test_a_pydantic_model_without_a_schema_says_nothing():
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Job", run=(collections.abc.Callable[[], None], ...))
    assert schema_of(model) == {}


def test_a_function_is_described_by_its_docstring_parameters_and_result():
    def function(a: int, b: str = "x", *rest: int, c, d: Color | None = None, e: Color = Color.RED) -> list[Point]:
        """What it does.

        And more.
        """
        raise AssertionError((a, b, rest, c, d, e))

    description = describe(function)
    assert description.summary == "What it does."
    properties = {**POINT["properties"], "hidden": {"type": "integer"}}
    sent = POINT | {"properties": properties, "required": ["x", "y", "tags", "hidden"]}
    assert description.result == {"type": "array", "items": sent}
    assert description.parameters == {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "string", "default": "x"},
            "c": {},
            "d": {"anyOf": [{"enum": ["red", "blue"]}, {"type": "null"}], "default": None},
            "e": {"enum": ["red", "blue"]},
        },
        "required": ["a", "c"],
        "additionalProperties": False,
    }


def test_a_function_that_says_nothing_is_described_all_the_same():
    description = describe(lambda: None)
    assert (description.summary, description.result) == ("", {})
    assert description.parameters == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def test_annotations_that_cannot_be_evaluated_say_nothing():
    def function(a: NoSuchName) -> AlsoNot:  # noqa: F821
        return a

    assert describe(function).parameters["properties"] == {"a": {}}
    assert describe(function).result == {}


@pytest.mark.parametrize("default", [float("nan"), float("inf"), b"x", object(), [1]])
def test_defaults_that_json_has_not_are_left_out(default):
    def function(a=default):
        return a

    assert describe(function).parameters["properties"] == {"a": {}}
    assert describe(function).parameters["required"] == []
