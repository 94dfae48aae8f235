"""msgpack with an exact round trip: what comes out equals what went in, types included, or it is refused going in.

The C packer's strict mode hands everything but the exact native types to a hook. The exceptions are ``bytearray`` and
``memoryview``, which it packs as bytes silently; a scan of types at C speed refuses those, and finds the path of
whatever else is not plain.
"""

from __future__ import annotations

import datetime as dt
import decimal
import struct
import uuid
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import msgpack

from busfn.errors import ProtocolError
from busfn.protocol.shapes import kind_of

_Packer: Callable[..., Any] = cast(Any, msgpack).Packer  # untyped
_unpackb: Callable[..., Any] = cast(Any, msgpack).unpackb

MAX_DEPTH = 64
"""Containers inside containers; deeper values are left to pickle."""
FIRST_BUFFER = 1024
"""Bytes of a packer's buffer, which grows; the default of 256 KiB takes longer to get than a small value to pack."""
LARGE = 64 * 1024
"""Bytes from which on a value is not given to the packer."""
MOST_BYTES = (1 << 32) - 1
"""What msgpack can give as a length."""
MOST_PIECES = 16
MOST_KEY = 80
"""Characters of a key that go into a path."""

_BIN32 = 0xC6
"""In front of bytes whose number takes 32 bits."""
_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_SEQUENCES = frozenset({list, tuple, set, frozenset})
_OPAQUE = frozenset({complex, dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID})


class NotPlain(Exception):
    """A value that msgpack cannot carry exactly."""

    def __init__(self, path: str, type_name: str) -> None:
        super().__init__(f"{path or 'the value'} is a {type_name}")
        self.path = path
        self.type_name = type_name


def pack(value: object) -> bytes:
    """Bytes from plain data. Raises `NotPlain` with the path of what is not plain."""
    return b"".join(_packed(value))


def pack_apart(value: object, least: int) -> tuple[bytes, bytes]:
    """`pack` in two parts: the second one is bytes that the value is, or ends with, if they are more than ``least``."""
    parts = _packed(value)
    *head, end = parts
    if head and len(end) > least and sum(map(len, head)) <= LARGE:
        return b"".join(head), end
    return b"".join(parts), b""


def _packed(value: object) -> Sequence[bytes]:
    """Parts that are to be joined; large bytes are parts of their own."""
    _scan(value, 0)
    try:
        return list(_pieces(value)) if _holds_large(value) else (_nested(value),)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise NotPlain("", f"{type(value).__name__} ({error})") from None


def _holds_large(value: object) -> bool:
    """Whether it is large, or a short list with something large, as arguments are."""
    items = cast("list[object]", value) if type(value) is list else (value,)
    if len(items) > MOST_PIECES or bytes not in map(type, items):
        return False
    return any(type(item) is bytes and len(item) > LARGE for item in items)


def _pieces(value: object) -> Iterator[bytes]:
    """What `_nested` gives, with large bytes as they are: the packer would copy them twice."""
    if type(value) is list:
        items = cast("list[object]", value)
        yield _Packer().pack_array_header(len(items))
        for item in items:
            yield from _pieces(item) if type(item) is bytes else (_nested(item),)
    elif type(value) is bytes and len(value) > LARGE:
        yield _bin_header(value)
        yield value
    else:
        yield _nested(value)


def _bin_header(value: bytes) -> bytes:
    if len(value) > MOST_BYTES:
        raise ValueError(f"it holds {len(value)} bytes in one piece, and msgpack takes {MOST_BYTES}")
    return struct.pack(">BI", _BIN32, len(value))


def pack_calls(rows: Sequence[bytes], calls: Sequence[str]) -> bytes:
    """A chunk of packed argument lists, each with the id of its call: `busfn.protocol.arguments.Inputs`."""
    packer = _Packer(autoreset=False)
    packer.pack_map_header(2)
    packer.pack("calls")
    packer.pack(calls)
    packer.pack("rows")
    return cast(bytes, packer.bytes()) + pack_items(rows)


def pack_items(items: Sequence[bytes]) -> bytes:
    """A list of packed values."""
    return b"".join((_Packer().pack_array_header(len(items)), *items))


def is_array(data: bytes) -> bool:
    """Whether packed data is a list."""
    return data[0] & 0xF0 == 0x90 or data[0] in (0xDC, 0xDD)


def unpack(data: bytes) -> Any:
    """Plain data from bytes that anybody may have sent. Raises `ProtocolError`."""
    return _unpack(data, 0)


def unpack_apart(head: bytes, end: bytes) -> Any:
    """`unpack` for two parts. When the second one is just the bytes at the end of the value, they are not copied."""
    header = _bin_header(end) if len(end) <= MOST_BYTES else b""
    if not header or not head.endswith(header):
        return unpack(head + end)
    taken: list[bytes] = []

    def read_ext(code: int, inner: bytes) -> Any:
        if code != _APART:
            return _from_ext(code, inner, 1)
        taken.append(end)
        return end

    try:
        value = _read(head.removesuffix(header) + _PLACE, read_ext)
    except ProtocolError:  # what looks like their length is something else
        return unpack(head + end)
    return value if len(taken) == 1 else unpack(head + end)


def _unpack(data: bytes, depth: int) -> Any:
    """Each extension inside another takes tens of KiB of C stack: Python's own limit would come too late."""
    if depth > MAX_DEPTH + 1:
        raise ProtocolError("this msgpack is nested too deeply")

    def read_ext(code: int, inner: bytes) -> Any:
        return _from_ext(code, inner, depth + 1)

    return _read(data, read_ext)


def _read(data: bytes, read_ext: Callable[[int, bytes], Any]) -> Any:
    try:
        return _unpackb(
            data,
            ext_hook=read_ext,
            strict_map_key=False,
            raw=False,
            unicode_errors="surrogatepass",
            timestamp=3,
        )
    except ProtocolError:
        raise
    except Exception as error:  # the C decoder raises many classes; all mean the same here
        raise ProtocolError(f"this is not valid msgpack: {type(error).__name__}: {error}") from None


def _scan(value: object, depth: int) -> None:
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind in _OPAQUE:
        _scan_zone(value)
    elif depth > MAX_DEPTH:
        raise NotPlain("", f"{kind.__name__}, nested more than {MAX_DEPTH} levels deep")
    elif kind in _SEQUENCES:
        if not _SCALARS.issuperset(map(type, cast("Iterable[Any]", value))):
            _scan_items(cast("Iterable[Any]", value), lambda i: f"[{i}]", depth)
    elif kind is dict:
        mapping = cast("dict[Any, Any]", value)
        _scan_items(mapping.keys(), lambda i: f".keys()[{i}]", depth)
        _scan_items(mapping.values(), lambda i: f"[{_short(list(mapping)[i])}]", depth)
    else:
        raise NotPlain("", kind.__name__)


def _scan_items(items: Iterable[Any], where: Callable[[int], str], depth: int) -> None:
    if _SCALARS.issuperset(map(type, items)):
        return
    for i, item in enumerate(items):
        if type(item) in _SCALARS:
            continue
        try:
            _scan(item, depth + 1)
        except NotPlain as error:  # paths are made on the way out: only failures pay for them
            raise NotPlain(where(i) + error.path, error.type_name) from None


def _scan_zone(value: object) -> None:
    if isinstance(value, dt.datetime | dt.time) and not _is_plain_zone(value.tzinfo):
        raise NotPlain("", f"{type(value).__name__} in the time zone {value.tzinfo!r}")


def _is_plain_zone(zone: dt.tzinfo | None) -> bool:
    if type(zone) is zoneinfo.ZoneInfo:
        return bool(zone.key)
    return zone is None or (type(zone) is dt.timezone and "'" not in repr(zone))  # quotes: it has a name of its own


def _short(key: object) -> str:
    try:
        text = repr(key)
    except ValueError:  # a number of thousands of digits
        return "..."
    return text if len(text) <= MOST_KEY else f"{text[:MOST_KEY]}..."


# Extension types. Codes are part of the wire format: never reuse one.
_TUPLE, _SET, _FROZENSET, _BIGINT, _COMPLEX = 1, 2, 3, 4, 5
_DATETIME, _DATE, _TIME, _TIMEDELTA, _DECIMAL, _UUID = 6, 7, 8, 9, 10, 11

_APART = 127
"""Never sent: stands for bytes that are apart, while what is around them is read."""
_PLACE = bytes((0xC7, 0, _APART))
"""An extension without content."""


def _to_ext(value: Any) -> msgpack.ExtType:
    kind = kind_of(value)
    writer = _WRITERS.get(kind)
    if writer is None:
        raise TypeError(f"not plain: {type(value).__name__}")
    code, encode = writer
    return msgpack.ExtType(code, encode(value))


def _nested(value: object) -> bytes:
    packer = _Packer(default=_to_ext, strict_types=True, unicode_errors="surrogatepass", buf_size=FIRST_BUFFER)
    return cast(bytes, packer.pack(value))


def _list_of(value: Iterable[Any]) -> bytes:
    return _nested(list(value))


def _zone_out(zone: dt.tzinfo | None) -> str | float | None:
    if zone is None:
        return None
    if isinstance(zone, zoneinfo.ZoneInfo):
        return zone.key
    return cast(dt.timezone, zone).utcoffset(None).total_seconds()


def _zone_in(zone: object) -> dt.tzinfo | None:
    if zone is None:
        return None
    if isinstance(zone, str):
        return zoneinfo.ZoneInfo(zone)
    return dt.timezone(dt.timedelta(seconds=cast(float, zone)))


def _datetime_out(value: dt.datetime) -> bytes:
    return _nested([value.replace(tzinfo=None, fold=0).isoformat(), value.fold, _zone_out(value.tzinfo)])


def _datetime_in(fields: Any) -> dt.datetime:
    text, fold, zone = fields
    return dt.datetime.fromisoformat(text).replace(fold=fold, tzinfo=_zone_in(zone))


def _time_out(value: dt.time) -> bytes:
    return _nested([value.replace(tzinfo=None, fold=0).isoformat(), value.fold, _zone_out(value.tzinfo)])


def _time_in(fields: Any) -> dt.time:
    text, fold, zone = fields
    return dt.time.fromisoformat(text).replace(fold=fold, tzinfo=_zone_in(zone))


def _int_out(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


_WRITERS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    tuple: (_TUPLE, _list_of),
    set: (_SET, _list_of),
    frozenset: (_FROZENSET, _list_of),
    int: (_BIGINT, _int_out),
    complex: (_COMPLEX, lambda value: _nested([value.real, value.imag])),
    dt.datetime: (_DATETIME, _datetime_out),
    dt.date: (_DATE, lambda value: value.isoformat().encode()),
    dt.time: (_TIME, _time_out),
    dt.timedelta: (_TIMEDELTA, lambda value: _nested([value.days, value.seconds, value.microseconds])),
    decimal.Decimal: (_DECIMAL, lambda value: str(value).encode()),
    uuid.UUID: (_UUID, lambda value: value.bytes),
}

_OF_FIELDS: dict[int, Callable[[Any], Any]] = {
    _TUPLE: tuple,
    _SET: set,
    _FROZENSET: frozenset,
    _COMPLEX: lambda fields: complex(*fields),
    _DATETIME: _datetime_in,
    _TIME: _time_in,
    _TIMEDELTA: lambda fields: dt.timedelta(*fields),
}
"""Readers of extensions whose body is msgpack again."""

_OF_BYTES: dict[int, Callable[[bytes], Any]] = {
    _BIGINT: lambda data: int.from_bytes(data, "big", signed=True),
    _DATE: lambda data: dt.date.fromisoformat(data.decode()),
    _DECIMAL: lambda data: decimal.Decimal(data.decode()),
    _UUID: lambda data: uuid.UUID(bytes=data),
}


def _from_ext(code: int, data: bytes, depth: int) -> Any:
    if code in _OF_FIELDS:
        return _OF_FIELDS[code](_unpack(data, depth))
    if code in _OF_BYTES:
        return _OF_BYTES[code](data)
    raise ProtocolError(f"unknown msgpack extension {code}")
