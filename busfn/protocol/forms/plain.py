"""Values as data that JSON and msgpack have: what callers without our SDK are sent."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence, Set, ValuesView
from pathlib import PurePath
from typing import Any, cast

from busfn.protocol.shapes import is_dataclass, is_mapping, kind_of

_SCALARS = frozenset({type(None), bool, int, float, str})
_NATIVE = frozenset(
    {bytes, set, frozenset, complex, dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID}
)
"""What msgpack carries, too."""


class NotPlain(Exception):
    """A value that has no form as data; its path grows on the way out."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""

    def under(self, step: str) -> NotPlain:
        self.path = (step + self.path)[:200]
        return self


def plain(value: Any, *, native: bool = False) -> Any:
    """The value as None, truth values, numbers, texts, lists and dicts with keys of text.

    With ``native`` also bytes, sets, dates and the like, which msgpack has. Raises `NotPlain`.
    """
    kind = kind_of(value)
    if kind in _SCALARS:
        return value
    if kind is list or kind is tuple:
        return _list(value, native)
    if is_mapping(value):
        return _object(value, native)
    if native and kind in _NATIVE:
        return value if kind not in (set, frozenset) else cast(Any, kind(_list(value, native)))
    return _other(value, native)


def enum_by_value(kind: type[enum.Enum]) -> bool:
    """Whether its members are written as their values: when all of these are data."""
    return all(type(member.value) in _SCALARS for member in kind)


def duration(value: dt.timedelta) -> str:
    """ISO 8601: days and seconds, exactly."""
    sign, value = ("-", -value) if value < dt.timedelta() else ("", value)
    fraction = f".{value.microseconds:06d}".rstrip("0") if value.microseconds else ""
    return f"{sign}P{value.days}DT{value.seconds}{fraction}S"


def _list(items: Iterable[Any], native: bool) -> list[Any]:
    listed = list(items)
    if _SCALARS.issuperset(map(type, listed)):
        return listed
    for i, item in enumerate(listed):
        try:
            listed[i] = plain(item, native=native)
        except NotPlain as error:
            raise error.under(f"[{i}]") from None
    return listed


def _object(value: Mapping[Any, Any], native: bool) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for key, item in value.items():
        written = key if type(key) is str else _key(key)
        if written in made:
            raise NotPlain(f"two keys of an object would both be {written!r}")
        try:
            made[written] = item if type(item) in _SCALARS else plain(item, native=native)
        except NotPlain as error:
            raise error.under(f"[{written!r}]"[:100]) from None
    return made


def _key(key: Any) -> str:
    """Keys of JSON objects are text."""
    written = plain(key)
    if isinstance(written, bool):
        return str(written).lower()
    if isinstance(written, int | float):
        return repr(written)
    if written is None:
        return "null"
    if isinstance(written, str):
        return written
    raise NotPlain(f"a {type(key).__name__} is no key of an object")


def _other(value: Any, native: bool) -> Any:
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            return bytes(value) if native and write is _base64 else write(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _record(value, native)
    for attribute, names in _RECORDS.items():
        if (fields := getattr(kind_of(value), attribute, None)) is not None:
            return _fields({key: getattr(value, name) for name, key in names(fields)}, native)
    if hasattr(kind_of(value), "model_dump"):  # a pydantic model
        return _dumped(lambda: cast(Any, value).model_dump(mode="json", by_alias=True))
    if isinstance(value, Sequence | Set | ValuesView):
        return _list(cast("Iterable[Any]", value), native)
    if kind_of(value).__module__ == "ipaddress":
        return str(value)
    raise NotPlain(f"a {kind_of(value).__name__} has no form as data")


def _record(value: Any, native: bool) -> Any:
    if hasattr(kind_of(value), "__pydantic_validator__"):
        return _dumped(
            lambda: sys.modules["pydantic"].TypeAdapter(kind_of(value)).dump_python(value, mode="json", by_alias=True)
        )
    return _fields({f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, native)


def _fields(fields: dict[str, Any], native: bool) -> dict[str, Any]:
    for name, item in fields.items():
        try:
            fields[name] = plain(item, native=native)
        except NotPlain as error:
            raise error.under(f".{name}") from None
    return fields


def _dumped(dump: Callable[[], Any]) -> Any:
    try:
        return dump()
    except Exception as error:  # a model's own code may raise anything
        raise NotPlain(f"it cannot be dumped: {error}") from None


def _member(member: enum.Enum) -> Any:
    if isinstance(member, enum.Flag):
        return member.value
    return member.value if enum_by_value(type(member)) else member.name


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _attrs_names(fields: Any) -> list[tuple[str, str]]:
    return [(field.name, field.alias or field.name) for field in fields]


_RECORDS: dict[str, Callable[[Any], list[tuple[str, str]]]] = {"__attrs_attrs__": _attrs_names}
"""For classes with this attribute: the names of fields, and the keys that they are written under."""

_WRITERS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (enum.Enum, _member),
    (str, str.__str__),
    (int, int.__pos__),
    (float, float.__pos__),
    (complex, lambda value: [value.real, value.imag]),
    (bytes, _base64),
    (bytearray, _base64),
    (memoryview, _base64),
    ((dt.datetime, dt.date, dt.time), lambda value: value.isoformat()),
    (dt.timedelta, duration),
    ((decimal.Decimal, uuid.UUID, PurePath), str),
)
