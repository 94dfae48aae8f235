from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import types
import typing
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.errors import ProtocolError, SerializationError
from busfn.protocol.codecs.json import decode, encode

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    at: dt.date


class Named(typing.NamedTuple):
    x: int
    at: dt.date


class Odd(enum.Enum):
    OBJECT = object()


@given(plain)
def test_json_values_round_trip(value):
    assert decode(encode(value)) == value
    assert json.loads(encode(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), '"2026-01-02T03:04:00+00:00"'),
        (dt.date(2026, 1, 2), '"2026-01-02"'),
        (dt.time(3, 4), '"03:04:00"'),
        ({7}, "[7]"),
        (frozenset({7}), "[7]"),
        ((1, 2), "[1, 2]"),
        (Color.RED, '"red"'),
        (Level.HIGH, "3"),
        (decimal.Decimal("1.10"), '"1.10"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Point(1, dt.date(2026, 1, 2)), '{"x": 1, "at": "2026-01-02"}'),
        ([{"p": Point(1, dt.date(2026, 1, 2))}], '[{"p": {"x": 1, "at": "2026-01-02"}}]'),
        ("é", '"é"'),
        (b"raw", '"cmF3"'),
        (bytearray(b"raw"), '"cmF3"'),
        (1j, "[0.0, 1.0]"),
        (dt.timedelta(days=1, hours=2, microseconds=5), '"P1DT7200.000005S"'),
        (dt.timedelta(seconds=-1.5), '"-P0DT1.5S"'),
        (pathlib.PurePosixPath("/a/b"), '"/a/b"'),
        (collections.deque([1]), "[1]"),
        (collections.OrderedDict(a=1), '{"a": 1}'),
        (types.MappingProxyType({"a": range(2)}), '{"a": [0, 1]}'),
        ({"a": 1}.keys(), '["a"]'),
        (
            {Color.RED: 1, dt.date(2026, 1, 2): 2, 3: 3, True: 4, None: 5},
            '{"red": 1, "2026-01-02": 2, "3": 3, "true": 4, "null": 5}',
        ),
        (Named(1, dt.date(2026, 1, 2)), '[1, "2026-01-02"]'),
        (Odd.OBJECT, '"OBJECT"'),
    ],
)
def test_what_foreign_callers_get_for_python_values(value, text):
    assert encode(value).decode() == text


def test_a_pydantic_model_is_an_object():
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Person", name=(str, ...), born=(dt.date, ...))
    assert decode(encode([model(name="Ann", born=dt.date(2000, 1, 2))])) == [{"name": "Ann", "born": "2000-01-02"}]


class Broken:
    def model_dump(self, mode):
        raise KeyError("broken")


circle: list[object] = []
circle.append(circle)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {(1, 2): 3},
        {1: "a", "1": "b"},
        [{"x": {True: 1, "true": 2}}],
        math.nan,
        math.inf,
        [-math.inf],
        circle,
        "\ud800",
        Broken(),
        10**5000,
    ],
    ids=[
        "object",
        "key",
        "two keys",
        "two keys within",
        "nan",
        "inf",
        "-inf",
        "circle",
        "surrogate",
        "model",
        "digits",
    ],
)
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(SerializationError, match="cannot be sent as JSON"):
        encode(value)


def test_the_place_of_what_json_cannot_say_is_named():
    with pytest.raises(SerializationError, match=r"its part \[1\]\.at\['k'\]: a object has no form"):
        encode([1, Point(1, {"k": object()})])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[1,]",
        b"nul",
        b"'a'",
        b"NaN",
        b"Infinity",
        b"[-Infinity]",
        b"[1e999]",
        b"1 2",
        b'"\xff"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 5000,
        b"\x00\x00",
    ],
)
def test_what_is_not_json_is_refused(data):
    with pytest.raises(ProtocolError, match="JSON"):
        decode(data)


def test_the_place_of_a_mistake_is_named():
    with pytest.raises(ProtocolError, match="at character 4"):
        decode(b"[1, x]")
    with pytest.raises(ProtocolError, match="byte 1 is not UTF-8"):
        decode(b'"\xff"')
