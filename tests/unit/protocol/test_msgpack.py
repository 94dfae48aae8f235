from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import math
import struct
import uuid
import zoneinfo
from typing import Any, NamedTuple

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.errors import ProtocolError
from busfn.protocol.codecs.msgpack import (
    LARGE,
    MAX_DEPTH,
    MOST_BYTES,
    MOST_PIECES,
    NotPlain,
    pack,
    pack_apart,
)
from busfn.protocol.codecs.unpacking import unpack, unpack_apart

zones = st.one_of(
    st.none(),
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "UTC"]).map(zoneinfo.ZoneInfo),
    st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(dt.timezone),
    st.just(dt.UTC),
)
texts = st.text(st.characters(exclude_categories=[]), max_size=20)
datetimes = st.builds(
    lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold), st.datetimes(), zones, st.integers(0, 1)
)
times = st.builds(lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold), st.times(), zones, st.integers(0, 1))
hashable = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(1 << 200), 1 << 200),
    st.floats(),
    texts,
    st.binary(max_size=20),
    st.complex_numbers(),
    datetimes,
    st.dates(),
    times,
    st.timedeltas(),
    st.decimals().filter(lambda number: not number.is_snan()),
    st.uuids(),
)
keys = st.recursive(
    hashable,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
values = st.recursive(
    hashable,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.sets(keys, max_size=3),
        st.frozensets(keys, max_size=3),
        st.dictionaries(keys, inner, max_size=4),
    ),
    max_leaves=12,
)


def form(value: Any) -> Any:
    """Something that is equal exactly for values that are the same down to types, signs, NaN bits and order of keys."""
    kind = type(value)
    if kind in (list, tuple):
        return kind, [form(item) for item in value]
    if kind in (set, frozenset):
        return kind, sorted(repr(form(item)) for item in value)
    if kind is dict:
        return kind, [(form(key), form(item)) for key, item in value.items()]
    if kind is float:
        return kind, struct.pack(">d", value)
    if kind is complex:
        return kind, struct.pack(">dd", value.real, value.imag)
    if kind is decimal.Decimal:
        return kind, value.as_tuple()
    if kind in (dt.datetime, dt.time):
        return kind, value.replace(tzinfo=None).isoformat(), value.fold, form_zone(value.tzinfo)
    return kind, value


def form_zone(zone: dt.tzinfo | None) -> Any:
    return type(zone), zone.key if isinstance(zone, zoneinfo.ZoneInfo) else zone


@given(values)
def test_what_comes_out_is_exactly_what_went_in(value):
    assert form(unpack(pack(value))) == form(value)


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        (1, 2),
        {1, 2},
        frozenset({1, 2}),
        (),
        [()],
        ((),),
        {(1, (2, frozenset({3}))): [{4}]},
        {1: "int", "1": "str", b"1": "bytes", None: "none"},
        [True, 1, 1.0],
        [False, 0, 0.0, -0.0],
        float("nan"),
        struct.unpack(">d", b"\xff\xf8\0\0\0\0\0\1")[0],
        math.inf,
        -math.inf,
        b"x",
        "x",
        "\ud800 alone",
        "\0",
        (1 << 64) - 1,
        1 << 64,
        -(1 << 63),
        -(1 << 63) - 1,
        10**5000,
        -(10**5000),
        complex(-0.0, math.inf),
        decimal.Decimal("1.10"),
        decimal.Decimal("-0"),
        decimal.Decimal("1E+5000"),
        decimal.Decimal("NaN123"),
        decimal.Decimal("sNaN"),
        decimal.Decimal("-Infinity"),
        uuid.UUID(int=5),
        dt.date.min,
        dt.date.max,
        dt.datetime.min,
        dt.datetime.max.replace(tzinfo=dt.UTC),
        dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-23, microseconds=1))),
        dt.time(1, 2, 3, 4, fold=1, tzinfo=dt.UTC),
        dt.timedelta.min,
        dt.timedelta.max,
        dt.timedelta(microseconds=-1),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_edges_round_trip(value):
    back = unpack(pack(value))
    assert form(back) == form(value)


@pytest.mark.parametrize("size", [LARGE, LARGE + 1, LARGE + 70_000])
@pytest.mark.parametrize("others", [0, 1, MOST_PIECES - 1, MOST_PIECES])
def test_large_bytes_are_packed_as_the_library_packs_them(size, others):
    large = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    for value in (large, [large, *["a", 1, None, [2.5]][:others]], [*range(others), large]):
        assert pack(value) == msgpack.packb(value)
        assert unpack(pack(value)) == value
    assert unpack(pack([large, (1, large)])) == [large, (1, large)]


@pytest.mark.parametrize(
    "before", [None, [], [1, "two"], [(1, 2)], [b"x" * (LARGE // 2)], [uuid.UUID(int=7)] * (MOST_PIECES - 1)]
)
def test_large_bytes_at_the_end_are_left_apart_and_not_copied(before):
    end = b"\xc6" * (LARGE + 1)
    value = end if before is None else [*before, end]
    head, apart = pack_apart(value, LARGE)
    assert apart is end
    assert head + apart == pack(value)
    read = unpack_apart(head, apart)
    assert read == value
    assert (read if before is None else read[-1]) is end


@pytest.mark.parametrize(
    "value",
    [
        b"x" * LARGE,
        [b"x" * (LARGE + 1), 1],
        [b"x" * (LARGE + 1), b"y" * (LARGE + 1)],
        {"a": b"x" * (LARGE + 1)},
        [[b"x" * (LARGE + 1)]],
        "x" * (LARGE + 1),
        [0] * MOST_PIECES + [b"x" * (LARGE + 1)],
        [],
        7,
    ],
)
def test_other_values_stay_whole(value):
    assert pack_apart(value, LARGE) == (pack(value), b"")


def test_more_bytes_than_msgpack_can_count_are_not_plain():
    endless = bytes(MOST_BYTES + 1)  # zeros that nobody touches take no memory
    with pytest.raises(NotPlain, match="4294967296 bytes"):
        pack_apart([endless], LARGE)


def test_less_than_the_least_stays_whole():
    value = b"x" * (2 * LARGE)
    assert pack_apart(value, 2 * LARGE) == (pack(value), b"")
    assert pack_apart(value, 2 * LARGE - 1)[1] is value


@given(st.data())
def test_data_that_is_cut_anywhere_is_read_as_the_whole(data):
    value = data.draw(st.lists(st.one_of(st.binary(max_size=20), st.text(max_size=9), st.integers(), st.just((1, 2)))))
    packed = pack(value)
    cut = data.draw(st.integers(0, len(packed)))
    assert unpack_apart(packed[:cut], packed[cut:]) == value


@pytest.mark.parametrize(
    ("head", "end"),
    [
        (b"\x92\xc4\x05\xc6\x00\x00\x00\x01", b"\x07"),  # the length stands in bytes
        (b"\x92\xc4\x04\xc6\x00\x00\x00\x01", b"\x07"),  # and goes on behind them, as numbers too many
        (b"\x93\xc4\x01\xc6\x00\x00\x00\x03", b"\x01\x02\x03"),
        (b"\x91\xc6\x00\x00\x00\x02", b"\x01\x02\x03"),  # it is another length
    ],
)
def test_what_only_looks_like_the_length_of_bytes_is_read_as_what_it_is(head, end):
    try:
        expected = unpack(head + end)
    except ProtocolError:
        with pytest.raises(ProtocolError):
            unpack_apart(head, end)
    else:
        assert unpack_apart(head, end) == expected


@pytest.mark.parametrize("head", [b"\x92\xc7\x00\x7f\xc6\x00\x00\x00\x02", b"\x92\xd4\x7f\x00\xc6\x00\x00\x00\x02"])
def test_nobody_can_send_the_place_of_what_is_apart(head):
    with pytest.raises(ProtocolError, match="127"):
        unpack_apart(head, b"ab")
    with pytest.raises(ProtocolError, match="127"):
        unpack(b"\xc7\x00\x7f")


def test_the_two_hours_of_a_night_stay_apart():
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    first, second = (dt.datetime(2026, 10, 25, 2, 30, fold=fold, tzinfo=zone) for fold in (0, 1))
    assert unpack(pack(first)).utcoffset() == dt.timedelta(hours=2)
    assert unpack(pack(second)).utcoffset() == dt.timedelta(hours=1)


class Point(NamedTuple):
    x: int
    y: int


class Color(enum.IntEnum):
    RED = 1


class Name(enum.StrEnum):
    ANN = "ann"


class Text(str):
    pass


class Number(int):
    pass


class Real(float):
    pass


class Raw(bytes):
    pass


class Items(list):
    pass


class Pair(tuple):
    __slots__ = ()


class Group(set):
    pass


class Frozen(frozenset):
    pass


class Moment(dt.datetime):
    pass


class Money(decimal.Decimal):
    pass


class Plain:
    pass


OFFENDERS = [
    Point(1, 2),
    Color.RED,
    Name.ANN,
    Text("a"),
    Number(1),
    Real(1.0),
    Raw(b"a"),
    Items([1]),
    Pair((1,)),
    Group({1}),
    Frozen({1}),
    Moment(2026, 1, 1),
    Money("1"),
    collections.OrderedDict(a=1),
    collections.defaultdict(int),
    collections.Counter("a"),
    collections.deque([1]),
    bytearray(b"a"),
    memoryview(b"a"),
    {"a": 1}.keys(),
    range(3),
    Plain(),
    Plain,
    len,
    object(),
    ...,
    NotImplemented,
    msgpack.ExtType(1, b""),
    msgpack.Timestamp(1),
]


@pytest.mark.parametrize("offender", OFFENDERS, ids=lambda value: type(value).__name__)
def test_whatever_would_not_come_out_the_same_is_refused_with_its_type(offender):
    with pytest.raises(NotPlain) as caught:
        pack(offender)
    assert (caught.value.path, caught.value.type_name) == ("", type(offender).__name__)


HOLDERS = [
    (lambda x: [x], "[0]"),
    (lambda x: [1, "a", x], "[2]"),
    (lambda x: (1, x), "[1]"),
    (lambda x: {"a": x}, "['a']"),
    (lambda x: {1: 1, 2: x}, "[2]"),
    (lambda x: {(1, 2): [x]}, "[(1, 2)][0]"),
    (lambda x: [0, {"items": [1, 2, 3, x]}], "[1]['items'][3]"),
    (lambda x: {"k" * 200: x}, "['" + "k" * 79 + "...]"),
    (lambda x: {10**5000: x}, "[...]"),
    (lambda x: [[[[x]]]], "[0][0][0][0]"),
]


@pytest.mark.parametrize(("hold", "path"), HOLDERS, ids=[path[:20] for _, path in HOLDERS])
@pytest.mark.parametrize("offender", [Plain(), bytearray(b"a"), Color.RED, Point(1, 2)], ids=repr)
def test_the_path_of_the_offender(hold, path, offender):
    with pytest.raises(NotPlain) as caught:
        pack(hold(offender))
    assert caught.value.path == path


def test_a_key_that_is_not_plain_is_named_by_its_place():
    with pytest.raises(NotPlain) as caught:
        pack([{"a": 1, Color.RED: 2}])
    assert (caught.value.path, caught.value.type_name) == ("[0].keys()[1]", "Color")


def test_an_element_of_a_set_that_is_not_plain_is_refused():
    with pytest.raises(NotPlain) as caught:
        pack({"a": {Text("x")}})
    assert (caught.value.path, caught.value.type_name) == ("['a'][0]", "Text")


class Zone(dt.tzinfo):
    def utcoffset(self, at):
        return dt.timedelta(0)


class OwnZone(zoneinfo.ZoneInfo):
    pass


@pytest.mark.parametrize(
    "zone", [Zone(), dt.timezone(dt.timedelta(hours=1), "CET"), OwnZone("Europe/Berlin")], ids=["own", "named", "sub"]
)
@pytest.mark.parametrize("value", [dt.datetime(2026, 1, 1), dt.time(1)], ids=["datetime", "time"])
def test_a_zone_that_would_not_come_out_the_same_is_refused_where_it_is(zone, value):
    with pytest.raises(NotPlain, match="time zone") as caught:
        pack({"at": [value.replace(tzinfo=zone)]})
    assert caught.value.path == "['at'][0]"


@given(values, st.sampled_from(OFFENDERS))
def test_an_offender_beside_anything_plain_is_found(value, offender):
    with pytest.raises(NotPlain) as caught:
        pack([value, offender])
    assert caught.value.path == "[1]"


def nested(depth: int, wrap: Any) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


WRAPS = [lambda x: [x], lambda x: (x,), lambda x: {"a": x}, lambda x: {(1,): (x,)}]


@pytest.mark.parametrize("wrap", WRAPS, ids=["list", "tuple", "dict", "mixed"])
def test_what_may_be_packed_can_be_unpacked_however_deep(wrap):
    for depth in range(MAX_DEPTH - 40, MAX_DEPTH + 10):
        value = nested(depth, wrap)
        try:
            packed = pack(value)
        except NotPlain:
            assert depth > MAX_DEPTH // 2
            continue
        assert unpack(packed) == value


@pytest.mark.parametrize("leaf", [dt.datetime(2026, 1, 1), complex(1, 2), uuid.UUID(int=1), 1 << 70])
def test_the_deepest_level_may_hold_any_plain_leaf(leaf):
    value: Any = leaf
    for _ in range(MAX_DEPTH):
        value = (value,)
    assert unpack(pack(value)) == value


def test_too_deep_is_refused():
    with pytest.raises(NotPlain, match="nested more than 64 levels deep"):
        pack(nested(10_000, lambda x: [x]))


def test_a_list_that_holds_itself_is_refused():
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(NotPlain, match="levels deep"):
        pack(circle)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x91",
        b"\x01\x02",
        b"\xa1\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x81\x90\x01",
        b"\x81\x80\x01",
        b"\x91" * 2000 + b"\x01",
        msgpack.packb(msgpack.ExtType(99, b"")),
        msgpack.packb(msgpack.ExtType(0, b"")),
        msgpack.packb(msgpack.ExtType(1, b"\x01")),
        msgpack.packb(msgpack.ExtType(2, b"\x91\x90")),
        msgpack.packb(msgpack.ExtType(5, b"\x93\x01\x02\x03")),
        msgpack.packb(msgpack.ExtType(6, b"\x90")),
        msgpack.packb(msgpack.ExtType(6, msgpack.packb(["2026-01-01", 0, "../../etc/passwd"]))),
        msgpack.packb(msgpack.ExtType(6, msgpack.packb(["2026-01-01", 0, ""]))),
        msgpack.packb(msgpack.ExtType(6, msgpack.packb(["2026-01-01", 7, None]))),
        msgpack.packb(msgpack.ExtType(6, msgpack.packb(["2026-01-01", 0, 1e300]))),
        msgpack.packb(msgpack.ExtType(7, b"\xff")),
        msgpack.packb(msgpack.ExtType(9, msgpack.packb([10**10, 0, 0]))),
        msgpack.packb(msgpack.ExtType(10, b"one")),
        msgpack.packb(msgpack.ExtType(11, b"short")),
        b"\xc7\x0c\xff" + b"\xff" * 12,
    ],
)
def test_broken_data_is_a_protocol_error(data):
    with pytest.raises(ProtocolError):
        unpack(data)


def test_extensions_inside_extensions_do_not_use_up_the_stack():
    # a few kilobytes of this once killed the process: each level takes 40 KiB of C stack
    data = b"\x90"
    for _ in range(2000):
        data = msgpack.packb(msgpack.ExtType(1, b"\x91" + data))
    with pytest.raises(ProtocolError, match="nested too deeply"):
        unpack(data)


def test_msgpacks_own_timestamps_become_datetimes():
    at = dt.datetime(2026, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
    assert unpack(msgpack.packb(msgpack.Timestamp.from_datetime(at))) == at
