"""Writes msgpack with an exact round trip: what comes out equals what went in, types included, or it is refused going
in. `busfn.protocol.codecs.unpacking` reads it.

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgpack

from busfn.protocol.codecs import extensions as ext
from busfn.protocol.codecs.extensions import MAX_DEPTH, MAX_INTEGER
from busfn.protocol.shapes import is_list, kind_of

_Packer: Callable[..., Any] = cast(Any, msgpack).Packer  # untyped

FIRST_BUFFER = 1024
"""Bytes of a packer's buffer, which grows; the default of 256 KiB takes longer to get than a small value to pack."""
LARGE = 64 * 1024
"""Bytes from which on a value is not given to the packer."""
MOST_BYTES = (1 << 32) - 1
"""What msgpack can give as a length."""
MOST_PIECES = 16
MOST_COPIED = 256
"""Elements of what is rather copied than encoded on its own."""
MOST_KEY = 80
"""Characters of a key that go into a path."""

_BIN32 = 0xC6
"""In front of bytes whose number takes 32 bits."""
SCALARS = frozenset({type(None), bool, int, float, str, bytes})
"""Types whose values never change, and are no part of one another."""
_SEQUENCES = frozenset({list, tuple, set, frozenset})
_OPAQUE = frozenset({complex, dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID})
_PLAIN = SCALARS | _SEQUENCES | _OPAQUE | {dict}


class NotPlain(Exception):
    """A value that msgpack cannot carry exactly."""

    def __init__(self, path: str, type_name: str) -> None:
        super().__init__(f"{path or 'the value'} is a {type_name}")
        self.path = path
        self.type_name = type_name


def is_opaque(value: object) -> bool:
    """Whether one look tells that `pack` will refuse it, which takes longer to say why."""
    if is_list(value) and len(value) <= MOST_PIECES:
        return not _PLAIN.issuperset(map(type, value))
    return type(value) not in _PLAIN


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
        yield bin_header(value)
        yield value
    else:
        yield _nested(value)


def bin_header(value: bytes) -> bytes:
    """What msgpack has in front of large bytes."""
    if len(value) > MOST_BYTES:
        raise ValueError(f"it holds {len(value)} bytes in one piece, and msgpack takes {MOST_BYTES}")
    return struct.pack(">BI", _BIN32, len(value))


def snapshot(value: object) -> object:
    """A value that stays as it is now: ``value`` itself, or a copy. None when it has to be encoded for that, because it
    is no scalar and no small list, tuple or dict of scalars; or is None."""
    kind = type(value)
    if kind in SCALARS:
        return value
    if kind is dict:
        copied = cast("dict[object, object]", value).copy()
        flat = len(copied) <= MOST_COPIED and SCALARS.issuperset(map(type, copied))
        return copied if flat and SCALARS.issuperset(map(type, copied.values())) else None
    if kind is list or kind is tuple:
        items = cast("Sequence[object]", value)[:]
        return items if len(items) <= MOST_COPIED and SCALARS.issuperset(map(type, items)) else None
    return None


def pack_map(items: Mapping[str, bytes]) -> bytes:
    """A map of packed values."""
    parts = [_Packer().pack_map_header(len(items))]
    for name, packed in items.items():
        parts += (_Packer().pack(name), packed)
    return b"".join(parts)


def pack_bytes(data: bytes) -> bytes:
    """``data`` as a packed value."""
    return cast(bytes, _Packer(buf_size=FIRST_BUFFER).pack(data)) if len(data) <= LARGE else bin_header(data) + data


def pack_items(items: Sequence[bytes]) -> bytes:
    """A list of packed values."""
    return b"".join((_Packer().pack_array_header(len(items)), *items))


def is_array(data: bytes) -> bool:
    """Whether packed data is a list."""
    return data[0] & 0xF0 == 0x90 or data[0] in (0xDC, 0xDD)


def _scan(value: object, depth: int) -> None:
    kind = type(value)
    if kind in SCALARS:
        return
    if kind in _OPAQUE:
        _scan_zone(value)
    elif depth > MAX_DEPTH:
        raise NotPlain("", f"{kind.__name__}, nested more than {MAX_DEPTH} levels deep")
    elif kind in _SEQUENCES:
        if not SCALARS.issuperset(map(type, cast("Iterable[Any]", value))):
            _scan_items(cast("Iterable[Any]", value), lambda i: f"[{i}]", depth)
    elif kind is dict:
        mapping = cast("dict[Any, Any]", value)
        _scan_items(mapping.keys(), lambda i: f".keys()[{i}]", depth)
        _scan_items(mapping.values(), lambda i: f"[{_short(list(mapping)[i])}]", depth)
    else:
        raise NotPlain("", kind.__name__)


def _scan_items(items: Iterable[Any], where: Callable[[int], str], depth: int) -> None:
    if SCALARS.issuperset(map(type, items)):
        return
    for i, item in enumerate(items):
        if type(item) in SCALARS:
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


def _datetime_out(value: dt.datetime) -> bytes:
    return _nested([value.replace(tzinfo=None, fold=0).isoformat(), value.fold, _zone_out(value.tzinfo)])


def _time_out(value: dt.time) -> bytes:
    return _nested([value.replace(tzinfo=None, fold=0).isoformat(), value.fold, _zone_out(value.tzinfo)])


def _int_out(value: int) -> bytes:
    size = value.bit_length() // 8 + 1
    if size > MAX_INTEGER:
        raise ValueError(f"an integer of {size} bytes")
    return value.to_bytes(size, "big", signed=True)


_WRITERS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    tuple: (ext.TUPLE, _list_of),
    set: (ext.SET, _list_of),
    frozenset: (ext.FROZENSET, _list_of),
    int: (ext.BIGINT, _int_out),
    complex: (ext.COMPLEX, lambda value: _nested([value.real, value.imag])),
    dt.datetime: (ext.DATETIME, _datetime_out),
    dt.date: (ext.DATE, lambda value: value.isoformat().encode()),
    dt.time: (ext.TIME, _time_out),
    dt.timedelta: (ext.TIMEDELTA, lambda value: _nested([value.days, value.seconds, value.microseconds])),
    decimal.Decimal: (ext.DECIMAL, lambda value: str(value).encode()),
    uuid.UUID: (ext.UUID, lambda value: value.bytes),
}
