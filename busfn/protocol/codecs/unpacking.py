"""Reads msgpack that anybody may have sent, in a time that is proportional to its size."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, cast

import msgpack

from busfn.errors import ProtocolError
from busfn.protocol.codecs import extensions as ext
from busfn.protocol.codecs.collisions import check_collisions
from busfn.protocol.codecs.msgpack import MOST_BYTES, bin_header

_unpackb: Callable[..., Any] = cast(Any, msgpack).unpackb  # untyped
_Unpacker: Callable[..., Any] = cast(Any, msgpack).Unpacker

FEW = 256
"""Extensions up to which a value is read without a look at collisions: so few cannot take long."""

_PLACE = bytes((0xC7, 0, ext.APART))
"""An extension without content."""


def unpack(data: bytes) -> Any:
    """Plain data from bytes that anybody may have sent. Raises `ProtocolError`."""
    return _unpack(data, None)


def unpack_apart(head: bytes, end: bytes) -> Any:
    """`unpack` for two parts. When the second one is just the bytes at the end of the value, they are not copied."""
    header = bin_header(end) if len(end) <= MOST_BYTES else b""
    if not header or not head.endswith(header):
        return unpack(head + end)
    taken: list[bytes] = []

    def take() -> bytes:
        taken.append(end)
        return end

    try:
        value = _unpack(head.removesuffix(header) + _PLACE, take)
    except ProtocolError:  # what looks like their length is something else
        return unpack(head + end)
    return value if len(taken) == 1 else unpack(head + end)


def slice_map(data: bytes) -> dict[str, bytes]:
    """The values of a map under their names, still packed. Raises `ProtocolError`."""
    reader = _Slices(data)
    return {str(reader.value()): reader.packed() for _ in range(reader.map_header())}


def slice_list(data: bytes) -> list[bytes]:
    """The elements of a list, still packed. Raises `ProtocolError`."""
    reader = _Slices(data)
    return [reader.packed() for _ in range(reader.array_header())]


class _Slices:
    """Finds where packed values begin and end, without making them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._unpacker = _Unpacker(max_buffer_size=len(data), raw=False, unicode_errors="surrogatepass")
        self._unpacker.feed(data)

    def map_header(self) -> int:
        return int(self._ask(self._unpacker.read_map_header))

    def array_header(self) -> int:
        return int(self._ask(self._unpacker.read_array_header))

    def value(self) -> Any:
        return self._ask(self._unpacker.unpack)

    def packed(self) -> bytes:
        begin = self._unpacker.tell()
        self._ask(self._unpacker.skip)
        return self._data[begin : self._unpacker.tell()]

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception as error:  # the C decoder raises many classes; all mean the same here
            raise _invalid(error) from None


def _unpack(data: bytes, apart: Callable[[], bytes] | None) -> Any:
    try:
        return _Reader(apart).read(data)
    except _Many:
        return _CarefulReader(apart).read(data)


class _Many(Exception):
    """It holds so many extensions that their hashes have to be looked at."""


class _Reader:
    """Reads one value; only extensions can have hashes that somebody chose, and it takes a few of them only."""

    __slots__ = ("_apart", "_depth", "_left")

    def __init__(self, apart: Callable[[], bytes] | None) -> None:
        self._apart = apart
        self._depth = 0
        self._left = FEW

    def read(self, data: bytes, **more: Any) -> Any:
        try:
            return _unpackb(
                data,
                ext_hook=self._extension,
                strict_map_key=False,
                raw=False,
                unicode_errors="surrogatepass",
                timestamp=3,
                **more,
            )
        except (ProtocolError, _Many):
            raise
        except Exception as error:  # the C decoder raises many classes; all mean the same here
            raise _invalid(error) from None

    def _extension(self, code: int, data: bytes) -> Any:
        self._count()
        if code in _OF_BYTES:
            return _OF_BYTES[code](data)
        if code in _OF_FIELDS:
            if self._depth > ext.MAX_DEPTH:  # each takes tens of KiB of C stack: Python's own limit comes too late
                raise ProtocolError("this msgpack is nested too deeply")
            self._depth += 1
            fields = self.read(data)
            self._depth -= 1
            return self._build(code, fields)
        if code == ext.APART and self._apart is not None and not self._depth:
            return self._apart()
        raise ProtocolError(f"unknown msgpack extension {code}")

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _Many

    def _build(self, code: int, fields: Any) -> Any:
        return _OF_FIELDS[code](fields)


class _CarefulReader(_Reader):
    """Looks at the hashes of keys before it makes a set or a dict of them."""

    def _count(self) -> None:
        """There may be any number."""

    def read(self, data: bytes, **more: Any) -> Any:
        return super().read(data, object_pairs_hook=_dict_of, **more)

    def _build(self, code: int, fields: Any) -> Any:
        if code in (ext.SET, ext.FROZENSET):
            check_collisions(fields)
        return super()._build(code, fields)


def _dict_of(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    check_collisions([key for key, _ in pairs])
    return dict(pairs)


def _invalid(error: Exception) -> ProtocolError:
    return ProtocolError(f"this is not valid msgpack: {type(error).__name__}: {error}")


def _zone(zone: object) -> dt.tzinfo | None:
    if zone is None:
        return None
    if isinstance(zone, str):
        return zoneinfo.ZoneInfo(zone)
    return dt.timezone(dt.timedelta(seconds=cast(float, zone)))


def _datetime(fields: Any) -> dt.datetime:
    text, fold, zone = fields
    return dt.datetime.fromisoformat(text).replace(fold=fold, tzinfo=_zone(zone))


def _time(fields: Any) -> dt.time:
    text, fold, zone = fields
    return dt.time.fromisoformat(text).replace(fold=fold, tzinfo=_zone(zone))


def _integer(data: bytes) -> int:
    if len(data) > ext.MAX_INTEGER:
        raise ProtocolError(f"an integer of {len(data)} bytes; {ext.MAX_INTEGER} are allowed")
    return int.from_bytes(data, "big", signed=True)


_OF_FIELDS: dict[int, Callable[[Any], Any]] = {
    ext.TUPLE: tuple,
    ext.SET: set,
    ext.FROZENSET: frozenset,
    ext.COMPLEX: lambda fields: complex(*fields),
    ext.DATETIME: _datetime,
    ext.TIME: _time,
    ext.TIMEDELTA: lambda fields: dt.timedelta(*fields),
}
"""Readers of extensions whose body is msgpack again."""

_OF_BYTES: dict[int, Callable[[bytes], Any]] = {
    ext.BIGINT: _integer,
    ext.DATE: lambda data: dt.date.fromisoformat(data.decode()),
    ext.DECIMAL: lambda data: decimal.Decimal(data.decode()),
    ext.UUID: lambda data: uuid.UUID(bytes=data),
}
