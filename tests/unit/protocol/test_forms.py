"""What annotations say is what is accepted, what the schema promises, and what is sent: for everything typing has."""

from __future__ import annotations

import collections
import collections.abc as abc
import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import json
import pathlib
import sys
import time
import typing
import uuid
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    TypeVar,
)

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busfn.protocol.bad_call import BadCall
from busfn.protocol.codecs import Codecs, Payload
from busfn.protocol.codecs.json import decode, encode
from busfn.protocol.convert import Interface
from busfn.protocol.forms.build import form_of
from busfn.protocol.forms.form import Misfit, Run, explain
from busfn.protocol.forms.scalars import parse_duration
from busfn.protocol.schema import describe, schema_of

if typing.TYPE_CHECKING:
    import pandas as pd

jsonschema = pytest.importorskip("jsonschema")
T, U = TypeVar("T"), TypeVar("U")
Limited = TypeVar("Limited", bound=dt.date)
OneOf = TypeVar("OneOf", int, dt.date)
UserId = NewType("UserId", int)


class Color(enum.Enum):
    RED = "red"
    BLUE = 2


class Odd(enum.Enum):
    """Its values cannot be said in JSON."""

    ONE = (1, object())
    TWO = b"2"


class Bits(enum.Flag):
    A = 1
    B = 2


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int
    day: dt.date = dt.date(2026, 1, 1)


class Pair(NamedTuple, Generic[T]):
    first: T
    second: list[T]


Bare = collections.namedtuple("Bare", "a b")


class Movie(TypedDict):
    title: str
    year: NotRequired[int]
    shown: list[dt.date]


class Loose(TypedDict, total=False):
    id: Required[uuid.UUID]
    path: pathlib.Path


class More(Movie):
    color: Color


@dataclasses.dataclass
class Item:
    name: str
    price: decimal.Decimal = decimal.Decimal(1)
    made: int = dataclasses.field(init=False, default=7)
    note: typing.ClassVar[str] = "n"


@dataclasses.dataclass(kw_only=True, slots=True, frozen=True)
class Order:
    items: abc.Sequence[Item]
    at: dt.timedelta
    seed: dataclasses.InitVar[int] = 3


@dataclasses.dataclass
class Box(Generic[T]):
    content: T
    others: dict[str, T] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Dated(Box[dt.date]):
    label: str = ""


@dataclasses.dataclass
class Twice(Box[list[U]], Generic[U]):
    one: U | None = None


@dataclasses.dataclass
class Node:
    value: int
    children: list[Node] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Partly:
    frame: pd.DataFrame
    n: int


class Name(str):
    pass


class Opaque:
    pass


DAY, ID = dt.date(2026, 1, 2), uuid.UUID(int=5)
TZ = dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)


def convert(hint: Any, value: object) -> Any:
    try:
        return form_of(hint).read(value, Run())
    except Misfit as misfit:
        raise BadCall(explain(misfit, "p")) from None


def valid(schema: dict[str, Any], value: object) -> bool:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid(value)


# What the JSON is (as sent by a foreign caller), and what the body gets
CASES: list[tuple[Any, Any, Any]] = [
    (Point, [1, "2026-01-02"], Point(1, DAY)),
    (Point, [1], Point(1)),
    (Pair[dt.date], ["2026-01-02", ["2026-01-02"]], Pair(DAY, [DAY])),
    (Bare, [1, None], Bare(1, None)),
    (abc.Sequence[Item], [{"name": "a", "price": "2.50"}], [Item("a", decimal.Decimal("2.50"))]),
    (abc.Collection[dt.date], ["2026-01-02"], [DAY]),
    (abc.Iterable[dt.date], ["2026-01-02"], [DAY]),
    (abc.MutableSequence[dt.date], ["2026-01-02"], [DAY]),
    (abc.Set[dt.date], ["2026-01-02"], {DAY}),
    (abc.MutableSet[dt.date], ["2026-01-02"], {DAY}),
    (typing.Sequence[dt.date], ["2026-01-02"], [DAY]),
    (abc.Mapping[str, dt.date], {"a": "2026-01-02"}, {"a": DAY}),
    (abc.MutableMapping[dt.date, int], {"2026-01-02": 1}, {DAY: 1}),
    (typing.Mapping[int, dt.date], {"7": "2026-01-02"}, {7: DAY}),
    (collections.deque[dt.date], ["2026-01-02"], collections.deque([DAY])),
    (collections.OrderedDict[str, dt.date], {"a": "2026-01-02"}, collections.OrderedDict(a=DAY)),
    (collections.defaultdict[str, list[int]], {"a": [1]}, collections.defaultdict(list, a=[1])),
    (collections.Counter[str], {"a": 2}, collections.Counter(a=2)),
    (collections.ChainMap[str, dt.date], {"a": "2026-01-02"}, collections.ChainMap({"a": DAY})),
    (pathlib.Path, "/a/b", pathlib.Path("/a/b")),
    (pathlib.PurePosixPath, "a", pathlib.PurePosixPath("a")),
    (dt.timedelta, "P1DT2H3.5S", dt.timedelta(days=1, hours=2, seconds=3.5)),
    (dt.timedelta, 90, dt.timedelta(seconds=90)),
    (dt.timedelta, 0.5, dt.timedelta(seconds=0.5)),
    (dt.datetime, "2026-01-02T03:04:00+00:00", TZ),
    (Movie, {"title": "t", "shown": ["2026-01-02"], "more": 1}, {"title": "t", "shown": [DAY], "more": 1}),
    (Loose, {"id": str(ID), "path": "/a"}, {"id": ID, "path": pathlib.Path("/a")}),
    (More, {"title": "t", "shown": [], "color": 2}, {"title": "t", "shown": [], "color": Color.BLUE}),
    (Order, {"items": [{"name": "a"}], "at": "PT1M"}, Order(items=[Item("a")], at=dt.timedelta(minutes=1))),
    (Box[dt.date], {"content": "2026-01-02", "others": {"a": "2026-01-02"}}, Box(DAY, {"a": DAY})),
    (Dated, {"content": "2026-01-02", "label": "x"}, Dated(DAY, {}, "x")),
    (Twice[dt.date], {"content": ["2026-01-02"], "one": "2026-01-02"}, Twice([DAY], {}, DAY)),
    (Box[Box[Color]], {"content": {"content": "red"}}, Box(Box(Color.RED))),
    (Node, {"value": 1, "children": [{"value": 2}]}, Node(1, [Node(2)])),
    (Partly, {"frame": "anything", "n": 3}, Partly("anything", 3)),
    (Odd, "ONE", Odd.ONE),
    (Bits, 3, Bits.A | Bits.B),
    (Level, 1, Level.LOW),
    (Literal["a", 1, None, Color.RED], "red", Color.RED),
    (Literal["a", 1], 1, 1),
    (tuple[int, *tuple[dt.date, ...]], [1, "2026-01-02", "2026-01-02"], (1, DAY, DAY)),
    (tuple[int, *tuple[dt.date, ...], str], [1, "2026-01-02", "z"], (1, DAY, "z")),
    (tuple[int, typing.Unpack[tuple[dt.date, str]]], [1, "2026-01-02", "z"], (1, DAY, "z")),  # noqa: UP044
    (tuple[()], [], ()),
    (tuple[dt.date, ...], ["2026-01-02"], (DAY,)),
    (bytes, "aGk=", b"hi"),
    (bytearray, "aGk=", bytearray(b"hi")),
    (complex, [1, 2.5], 1 + 2.5j),
    (complex, 3, 3 + 0j),
    (Limited, "2026-01-02", DAY),
    (OneOf, "2026-01-02", DAY),
    (list[Limited], ["2026-01-02"], [DAY]),
    (Annotated[dt.date, ["not hashable"]], "2026-01-02", DAY),
    (typing.Final[dt.date], "2026-01-02", DAY),
    (UserId, 3.0, 3),
    (Name, "x", Name("x")),
    (ipaddress.IPv4Address, "10.0.0.1", ipaddress.IPv4Address("10.0.0.1")),
    (dict[Color, int], {"red": 1, "2": 2}, {Color.RED: 1, Color.BLUE: 2}),
    (dict[bool | None, int], {"true": 1, "null": 2}, {True: 1, None: 2}),
    (dict[float, int], {"1.5": 1}, {1.5: 1}),
    (Item | Node, {"value": 1}, Node(1)),
    (list[Item] | dict[str, Item], {"a": {"name": "b"}}, {"a": Item("b")}),
    (Optional[Item], None, None),  # noqa: UP045
    (dt.date | str, "text", "text"),
    (int | float, 1.0, 1.0),
    (str | bytes, "aGk=", "aGk="),
    (object, [1], [1]),
    (Any, {"a": 1}, {"a": 1}),
    (abc.Hashable, "a", "a"),
]


@pytest.mark.parametrize(("hint", "sent", "got"), CASES, ids=lambda value: str(value)[:60])
def test_foreign_values_become_what_the_annotation_says(hint, sent, got):
    converted = convert(hint, sent)
    assert converted == got
    assert type(converted) is type(got)
    assert valid(schema_of(hint), sent)


@pytest.mark.parametrize(("hint", "sent", "got"), CASES, ids=lambda value: str(value)[:60])
def test_what_bodies_return_is_what_the_schema_promises(hint, sent, got):
    if hint in (Odd, collections.ChainMap[str, dt.date]):
        assert valid(schema_of(hint, sent=True), decode(encode(got)))
    elif hint is Partly:
        assert decode(encode(got)) == sent
    else:
        assert valid(schema_of(hint, sent=True), decode(encode(got)))


@pytest.mark.parametrize(("hint", "sent", "got"), CASES, ids=lambda value: str(value)[:60])
def test_msgpack_is_converted_as_json_is(hint, sent, got):
    unpacked = msgpack.unpackb(msgpack.packb(sent), strict_map_key=False)
    assert convert(hint, unpacked) == got
    payload = Codecs().encode(got, scope="s", what="result", accept="application/msgpack")
    if hint not in (Partly, Order):  # with a field that is only sent, or only accepted
        assert convert(hint, without_init_only(Codecs().decode(payload, scope="s"))) == got


def without_init_only(value: Any) -> Any:
    """Fields that are sent, and not accepted."""
    if isinstance(value, dict):
        return {key: without_init_only(item) for key, item in value.items() if key != "made"}
    return [without_init_only(item) for item in value] if isinstance(value, list) else value


REFUSED: list[tuple[Any, Any, str]] = [
    (Point, {"x": 1}, "`p` must be a list (Point)"),
    (Point, [], "`p` must be a list of 2 (Point: x, day)"),
    (Point, [1, "soon"], "`p.day` must be a date as text, not 'soon'"),
    (abc.Sequence[Item], [{"name": 1}], "`p[0].name` must be text"),
    (abc.Sequence[int], "12", "`p` must be a list"),
    (abc.Mapping[str, int], {"a": "b"}, "`p['a']` must be a whole number"),
    (Movie, {"title": "t"}, "`p.shown` is missing"),
    (Movie, {"title": "t", "shown": [1]}, "`p.shown[0]` must be a date"),
    (Movie, {"title": "t", "shown": [], "year": "x"}, "`p.year` must be a whole number"),
    (Order, {"items": []}, "`p.at` is missing"),
    (dt.timedelta, "1 day", "`p` must be a timedelta as text"),
    (dt.timedelta, 1e300, "`p` must be a timedelta in seconds"),
    (dt.timedelta, "P999999999999999D", "`p` must be a timedelta as text"),
    (dt.date, TZ, "`p` must be a date as text"),
    (pathlib.Path, 3, "`p` must be a path as text"),
    (dict[int, int], {"1": 1, "01": 2}, "must be a whole number, not '01'"),
    (dict[dt.date, int], {"2026-01-02": 1, "20260102": 2}, "whose keys differ"),
    (dict[list[int], int], {"a": 1}, "`p key` must be a list"),
    (Bits, False, "`p` must be one of 1, 2, not False"),
    (Odd, 1, "`p` must be one of 'ONE', 'TWO'"),
    (Opaque, {"a": 1}, "`p` must be a Opaque, which cannot be sent"),
    (list[Opaque], [1], "`p[0]` must be a Opaque"),
    (abc.AsyncIterator[int], [1], "must be a generator"),
    (bytes, "!", "`p` must be bytes as base64"),
    (complex, [1], "must be a complex number"),
    (Limited, "x", "must be a date"),
    (Dated, {"content": "x"}, "`p.content` must be a date"),
    (Item | Node, {"value": "x"}, "`p.value` must be a whole number"),
    (tuple[int, *tuple[str, ...]], [], "a list of 1 or more"),
    (Partly, {"frame": 1, "n": "x"}, "`p.n` must be a whole number"),
]


@pytest.mark.parametrize(("hint", "sent", "message"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_cannot_be_converted_is_refused_with_its_path(hint, sent, message):
    with pytest.raises(BadCall) as caught:
        convert(hint, sent)
    assert message in str(caught.value)


# Any value, any annotation

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
    | st.sampled_from(["2026-01-02", "red", "1", "true", "PT1S", "aGk=", "/a", str(ID), "ONE", "10.0.0.1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["title", "year", "shown", "id", "name", "price", "value", "children", "content", "others", "1",
                         "2026-01-02", "red", "n", "frame", "at", "items"]) | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
HINTS = list({id(hint): hint for hint, _, _ in CASES}.values())


@settings(max_examples=400, deadline=None)
@given(json_values, st.sampled_from(HINTS))
def test_all_that_is_accepted_validates_and_all_that_is_sent_too(value, hint):
    try:
        converted = convert(hint, value)
    except BadCall:
        return
    assert valid(schema_of(hint), value)
    if hint not in (abc.Iterable[dt.date],):
        sent = decode(encode(converted))
        assert valid(schema_of(hint, sent=True), sent)


anything = st.recursive(
    json_values | st.binary(max_size=4) | st.dates() | st.timedeltas() | st.decimals() | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2) | st.integers() | st.dates(), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(anything, st.sampled_from(HINTS))
def test_any_value_is_converted_or_refused_and_nothing_else(value, hint):
    try:
        convert(hint, value)
        message = ""
    except BadCall as refusal:
        message = str(refusal)
    assert not message or "`p" in message
    assert len(message) < 4000


@given(st.timedeltas())
def test_durations_round_trip_exactly(value):
    assert parse_duration(json.loads(encode(value))) == value


# Functions


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    args, kwargs = Interface.of(function).convert(args, kwargs)
    return function(*args, **kwargs)


def test_foreign_types_beside_an_annotation_that_cannot_be_resolved_are_checked():
    def frame(n: int, day: dt.date, df: pd.DataFrame = None) -> pd.DataFrame:  # type: ignore[assignment]
        return n, day, df  # type: ignore[return-value]

    assert call(frame, 1, "2026-01-02", [1]) == (1, DAY, [1])
    with pytest.raises(BadCall, match="`n` must be a whole number, not 'not a number'"):
        call(frame, "not a number", "2026-01-02")
    description = describe(frame)
    assert description.parameters["properties"]["n"] == {"type": "integer"}
    assert description.parameters["properties"]["df"] == {"default": None}
    assert description.result == {}


def test_local_classes_and_closures_are_resolved():
    @dataclasses.dataclass
    class Local:
        day: dt.date

    def f(it: Local) -> Local:
        assert isinstance(it, Local)
        return it

    assert call(f, {"day": "2026-01-02"}) == Local(DAY)


class Options(TypedDict, total=False):
    day: dt.date
    n: Required[int]


def test_rest_and_keyword_parameters_of_every_kind():
    def f(a: dt.date, /, *rest: dt.date, **more: typing.Unpack[Options]) -> Any:
        return a, rest, more

    assert call(f, "2026-01-02", "2026-01-02", n=1, day="2026-01-02") == (DAY, (DAY,), {"n": 1, "day": DAY})
    with pytest.raises(BadCall, match=r"`more\.day` must be a date"):
        call(f, "2026-01-02", n=1, day="x")
    with pytest.raises(BadCall, match=r"`more\.n` is missing"):
        call(f, "2026-01-02")
    parameters = describe(f).parameters
    assert parameters["required"] == ["a", "n"]
    assert set(parameters["properties"]) == {"a", "day", "n"}

    def g(*rest: *tuple[int, dt.date]) -> Any:
        return rest

    assert call(g, 1, "2026-01-02") == (1, DAY)


P = typing.ParamSpec("P")


def test_arguments_of_a_param_spec_are_let_through():
    def f(*args: P.args, **kwargs: P.kwargs) -> Any:
        return args, kwargs

    assert call(f, 1, a="x") == ((1,), {"a": "x"})


def test_parameters_that_have_only_places_may_be_named_as_in_the_schema():
    def f(a: int, b: dt.date, /, c: int = 0) -> Any:
        return a, b, c

    assert call(f, a=1, b="2026-01-02", c=2) == (1, DAY, 2)
    assert call(f, 1, b="2026-01-02") == (1, DAY, 0)


def test_a_wrapped_and_a_partial_function_and_a_callable_object():
    import functools

    def f(day: dt.date, n: int) -> Any:
        return day, n

    @functools.wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return f(*args, **kwargs)

    class Callable:
        def __call__(self, day: dt.date) -> Any:
            return day

    assert call(wrapper, "2026-01-02", 1) == (DAY, 1)
    assert call(functools.partial(f, n=3), "2026-01-02") == (DAY, 3)
    assert call(Callable(), "2026-01-02") == DAY


def test_pydantic_is_read_and_written_as_its_schemas_say():
    pydantic = pytest.importorskip("pydantic")

    class Person(pydantic.BaseModel):
        first: str = pydantic.Field(alias="firstName")
        born: dt.date = pydantic.Field(validation_alias="bornOn", serialization_alias="birthday")
        friends: list[Person] = pydantic.Field(default_factory=list)

    Person.model_rebuild(_types_namespace={"Person": Person, "dt": dt})

    @pydantic.dataclasses.dataclass
    class Place:
        lat: float
        at: dt.date = pydantic.Field(alias="on", default=DAY)

    def f(people: list[Person], place: Place | None = None) -> list[Person]:
        return people

    f.__annotations__ |= {"people": list[Person], "place": Place | None, "return": list[Person]}
    sent = {"firstName": "Ann", "bornOn": "2026-01-02", "friends": [{"firstName": "Bob", "bornOn": "2026-01-02"}]}
    description = describe(f)
    assert valid(description.parameters, {"people": [sent], "place": {"lat": 1.5, "on": "2026-01-02"}})
    result = call(f, [sent])
    assert result[0].friends[0].born == DAY
    answer = decode(encode(result))
    assert answer[0]["birthday"] == "2026-01-02"
    assert answer[0]["firstName"] == "Ann"
    assert valid(description.result, answer)
    assert decode(encode(Place(1.0))) == {"lat": 1.0, "on": "2026-01-02"}
    assert convert(Place, {"lat": 1, "on": "2026-01-02"}) == Place(1.0)
    with pytest.raises(BadCall, match=r"(?s)`people\[0\]`: .*firstName"):
        call(f, [{"bornOn": "2026-01-02"}])


def test_models_of_the_same_name_keep_their_own_definitions():
    pydantic = pytest.importorskip("pydantic")
    part = pydantic.create_model("Part", n=(int, ...))
    other = pydantic.create_model("Part", s=(str, ...))
    one, two = pydantic.create_model("One", part=(part, ...)), pydantic.create_model("Two", part=(other, ...))
    schema = schema_of(tuple[one, two, one])
    assert valid(schema, [{"part": {"n": 1}}, {"part": {"s": "x"}}, {"part": {"n": 1}}])
    assert not valid(schema, [{"part": {"n": 1}}, {"part": {"n": 1}}, {"part": {"n": 1}}])


def test_attrs_classes():
    attrs = pytest.importorskip("attrs")

    @attrs.define
    class Thing:
        day: dt.date
        _hidden: int = 3
        made: int = attrs.field(init=False, default=5)

    thing = convert(Thing, {"day": "2026-01-02", "hidden": 4})
    assert (thing.day, thing._hidden) == (DAY, 4)
    assert decode(encode(thing)) == {"day": "2026-01-02", "hidden": 4, "made": 5}
    assert valid(schema_of(Thing), {"day": "2026-01-02"})
    assert valid(schema_of(Thing, sent=True), decode(encode(thing)))
    with pytest.raises(BadCall, match=r"`p\.day` is missing"):
        convert(Thing, {})


@pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
def test_aliases_and_generics_of_python_3_12():
    names: dict[str, Any] = {"dt": dt, "dataclasses": dataclasses}
    exec(
        "type Tree = dt.date | list[Tree] | dict[str, Tree]\n"
        "type Two[X] = tuple[X, X]\n"
        "@dataclasses.dataclass\nclass Crate[X]:\n    content: X\n    more: list[X]\n"
        "def f[X: dt.date](a: X, b: 'Two[X]') -> list[X]: return [a, b]\n",
        names,
    )
    assert convert(names["Tree"], ["2026-01-02", {"a": ["2026-01-02"]}]) == [DAY, {"a": [DAY]}]
    assert valid(schema_of(names["Tree"]), [["2026-01-02"], {"a": []}])
    assert not valid(schema_of(names["Tree"]), [3])
    assert convert(names["Two"][dt.date], ["2026-01-02", "2026-01-02"]) == (DAY, DAY)
    crate = convert(names["Crate"][dt.date], {"content": "2026-01-02", "more": ["2026-01-02"]})
    assert (crate.content, crate.more) == (DAY, [DAY])
    assert call(names["f"], "2026-01-02", ["2026-01-02", "2026-01-02"]) == [DAY, (DAY, DAY)]


@dataclasses.dataclass
class Deep:
    of: list[Deep] | tuple[Deep, ...] | dict[str, Deep] | int


def test_a_value_that_fits_no_branch_of_a_recursive_union_is_refused_soon():
    value: Any = "x"
    for _ in range(60):
        value = {"of": [value]}
    begun = time.monotonic()
    with pytest.raises(BadCall) as caught:
        convert(Deep, value)
    assert time.monotonic() - begun < 10
    assert len(str(caught.value)) < 4000


def test_what_is_nested_too_deeply_is_refused():
    value: Any = {"value": 1}
    for _ in range(5000):
        value = {"value": 1, "children": [value]}

    def f(node: Node) -> None:
        raise AssertionError("it must not run")

    with pytest.raises(BadCall, match="nested too deeply"):
        call(f, value)


def test_a_huge_number_of_small_keys_and_items_is_no_worse_than_linear():
    begun = time.monotonic()
    assert len(convert(dict[str, list[int]], {str(i): [i] for i in range(100_000)})) == 100_000
    assert time.monotonic() - begun < 10


def test_an_unsigned_extension_is_converted_too():
    body = Codecs().encode({"a": {DAY}}, scope="s", what="v").body
    value = Codecs().decode(Payload(content_type="application/msgpack", body=body), scope="s")
    assert convert(dict[str, list[dt.date]], value) == {"a": [DAY]}
