"""msgpack with an exact round trip: what comes out equals what went in, types included, or it is refused going in.

The C packer's strict mode hands everything but the exact native types to a hook. The exceptions are ``bytearray`` and
``memoryview``, which it packs as bytes silently; a scan of types at C speed refuses those, and finds the path of whatever
else is not plain.
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any, cast

import msgpack

from busfn.errors import ProtocolError

MAX_DEPTH = 64
"""Containers inside containers; deeper values are left to pickle."""

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_MAPS = frozenset({dict})
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
    _scan(value, "", 0)
    try:
        packed = msgpack.packb(
            value, default=_to_ext, strict_types=True, use_bin_type=True, unicode_errors="surrogatepass"
        )
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise NotPlain("", f"{type(value).__name__} ({error})") from None
    return cast(bytes, packed)


def unpack(data: bytes) -> Any:
    """Plain data from bytes that anybody may have sent. Raises `ProtocolError`."""
    try:
        return msgpack.unpackb(
            data, ext_hook=_from_ext, strict_map_key=False, raw=False, unicode_errors="surrogatepass"
        )
    except ProtocolError:
        raise
    except Exception as error:  # the C decoder raises many classes; all mean the same here
        raise ProtocolError(f"this is not valid msgpack: {type(error).__name__}: {error}") from None


def _scan(value: object, path: str, depth: int) -> None:
    kind = type(value)
    if kind in _SCALARS or kind in _OPAQUE:
        return
    if depth > MAX_DEPTH:
        raise NotPlain(path, f"{kind.__name__}, nested more than {MAX_DEPTH} levels deep")
    if kind in _MAPS:
        mapping = cast("dict[Any, Any]", value)
        _scan_items(mapping.keys(), lambda i, key: f"{path}.keys()[{i}]", depth)
        if not set(map(type, mapping.values())) <= _SCALARS:
            for key, item in mapping.items():
                _scan(item, f"{path}[{key!r}]", depth + 1)
    elif kind in _SEQUENCES:
        _scan_items(cast("Iterable[Any]", value), lambda i, _: f"{path}[{i}]", depth)
    else:
        raise NotPlain(path, kind.__name__)


def _scan_items(items: Iterable[Any], where: Callable[[int, Any], str], depth: int) -> None:
    if set(map(type, items)) <= _SCALARS:
        return
    for i, item in enumerate(items):
        if type(item) not in _SCALARS:
            _scan(item, where(i, item), depth + 1)


# Extension types. Codes are part of the wire format: never reuse one.
_TUPLE, _SET, _FROZENSET, _BIGINT, _COMPLEX = 1, 2, 3, 4, 5
_DATETIME, _DATE, _TIME, _TIMEDELTA, _DECIMAL, _UUID = 6, 7, 8, 9, 10, 11


def _to_ext(value: Any) -> msgpack.ExtType:
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise TypeError(f"not plain: {type(value).__name__}")
    code, encode = writer
    return msgpack.ExtType(code, encode(value))


def _nested(value: object) -> bytes:
    return cast(
        bytes,
        msgpack.packb(value, default=_to_ext, strict_types=True, use_bin_type=True, unicode_errors="surrogatepass"),
    )


def _list_of(value: Iterable[Any]) -> bytes:
    return _nested(list(value))


def _zone_out(zone: dt.tzinfo | None) -> str | float | None:
    if zone is None:
        return None
    if isinstance(zone, zoneinfo.ZoneInfo) and zone.key:
        return zone.key
    if type(zone) is dt.timezone and repr(zone).count("'") == 0:
        offset = zone.utcoffset(None)
        return offset.total_seconds()
    raise TypeError(f"not plain: time zone {zone!r}")


def _zone_in(zone: object) -> dt.tzinfo | None:
    if zone is None:
        return None
    if isinstance(zone, str):
        return zoneinfo.ZoneInfo(zone)
    return dt.timezone(dt.timedelta(seconds=cast(float, zone)))


def _datetime_out(value: dt.datetime) -> bytes:
    return _nested([value.replace(tzinfo=None, fold=0).isoformat(), value.fold, _zone_out(value.tzinfo)])


def _datetime_in(data: bytes) -> dt.datetime:
    text, fold, zone = unpack(data)
    return dt.datetime.fromisoformat(text).replace(fold=fold, tzinfo=_zone_in(zone))


def _time_out(value: dt.time) -> bytes:
    return _nested([value.replace(tzinfo=None, fold=0).isoformat(), value.fold, _zone_out(value.tzinfo)])


def _time_in(data: bytes) -> dt.time:
    text, fold, zone = unpack(data)
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

_READERS: dict[int, Callable[[bytes], Any]] = {
    _TUPLE: lambda data: tuple(unpack(data)),
    _SET: lambda data: set(unpack(data)),
    _FROZENSET: lambda data: frozenset(unpack(data)),
    _BIGINT: lambda data: int.from_bytes(data, "big", signed=True),
    _COMPLEX: lambda data: complex(*unpack(data)),
    _DATETIME: _datetime_in,
    _DATE: lambda data: dt.date.fromisoformat(data.decode()),
    _TIME: _time_in,
    _TIMEDELTA: lambda data: dt.timedelta(*unpack(data)),
    _DECIMAL: lambda data: decimal.Decimal(data.decode()),
    _UUID: lambda data: uuid.UUID(bytes=data),
}


def _from_ext(code: int, data: bytes) -> Any:
    reader = _READERS.get(code)
    if reader is None:
        raise ProtocolError(f"unknown msgpack extension {code}")
    return reader(bytes(data))
