"""Reads dataclasses from JSON that others wrote: checks types, ranges, lengths and sizes, and refuses the rest. Pure.

A field's annotation says what it takes: `bool`, `int`, `float`, `str`, `Literal`, `X | None`, `Sequence[X]`,
`Mapping[str, X]`, other dataclasses, and `Any`. `Annotated[int, Range(0, 10)]`, `Annotated[str, Text(64)]` and
`Annotated[Sequence[X], Items(100)]` narrow it. Fields of a newer busfn are left out; missing ones take their default.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from busfn.errors import Error, ProtocolError
from busfn.protocol.shapes import is_dataclass, is_list, is_named

T = TypeVar("T")

Reader = Callable[[object, str], Any]
"""Takes a value and its path; returns what the field gets, or raises `ProtocolError`."""


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number, both included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Text:
    """Bounds of a text: so many characters, and what all of it has to match."""

    most: int
    pattern: str = r"(?s:.*)"


@dataclass(frozen=True, slots=True)
class Items:
    """Bound of a sequence or mapping."""

    most: int


Seconds = Annotated[float, Range(0, 1e9)]
"""A duration."""
Moment = Annotated[float, Range(0, 1e11)]
"""Unix seconds."""
Count = Annotated[int, Range(0, 1 << 31)]
Token = Annotated[str, Text(160, r"[^\s.*>\x00-\x1f\x7f]+")]
"""One token of a subject."""
Path = Annotated[str, Text(160, r"[^\s.*>\x00-\x1f\x7f]+(\.[^\s.*>\x00-\x1f\x7f]+)*")]
"""Some tokens of a subject, with dots between them."""

MAX_NUMBER = Range(-(1 << 53), 1 << 53)
"""What JSON carries exactly."""
MAX_TEXT = Text(1 << 20)
MAX_ITEMS = Items(100_000)


def read_record(kind: type[T], body: bytes | str, what: str) -> T:
    """The dataclass in a piece of JSON, called ``what`` in errors. Raises `ProtocolError`, and nothing else."""
    return from_plain(kind, parse(body, what), what)


def parse(body: bytes | str, what: str) -> object:
    """JSON, whatever it holds. Raises `ProtocolError`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"{what} cannot be read: it is no JSON: {body[:100]!r}") from error


def from_plain(kind: type[T], data: object, what: str) -> T:
    """The dataclass in a plain dict. Raises `ProtocolError`, and nothing else."""
    return cast(T, _record(cast(Any, kind))(data, what))


def prepare(kind: type[object]) -> None:
    """Look at the annotations of a dataclass now, rather than when the first one is read: that takes a millisecond."""
    _record(cast(Any, kind))


@cache
def _record(kind: type[Any]) -> Reader:
    """How to read a dataclass; its annotations are looked at once."""
    hints = get_type_hints(kind, include_extras=True)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind) if field.init}
    needed = [one.name for one in fields(kind) if one.init and one.default is one.default_factory is MISSING]

    def read(value: object, path: str) -> Any:
        if not is_named(value):
            raise _wrong(path, "an object", value)
        for name in needed:
            if name not in value:
                raise ProtocolError(f"{path} cannot be read: `{name}` is missing")
        known = {name: reader(value[name], f"{path}.{name}") for name, reader in readers.items() if name in value}
        try:
            return kind(**known)
        except Error as error:  # its values do not go together
            raise ProtocolError(f"{path} cannot be read: {error}") from error

    return read


def _reader(hint: Any) -> Reader:
    """How to read a value with this annotation. Raises `TypeError` for one that is not supported."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(args[0], args[1])
    if hint is Any:
        return lambda value, _: value
    if origin is Literal:
        return _one_of(args)
    if origin in (Union, types.UnionType) and len(args) == 2 and args[1] is type(None):
        return _optional(_reader(args[0]))
    return _bounded(hint, None)


def _bounded(hint: Any, bound: Any) -> Reader:
    origin, args = get_origin(hint), get_args(hint)
    if hint is bool:
        return _read_bool
    if hint in (int, float):
        return _number(hint, bound or MAX_NUMBER)
    if hint is str:
        return _text(bound or MAX_TEXT)
    if origin in (Sequence, tuple):
        return _sequence(_reader(args[0]), bound or MAX_ITEMS)
    if origin in (Mapping, dict):
        return _mapping(_reader(args[1]), bound or MAX_ITEMS)
    if is_dataclass(hint):
        return _record(hint)
    raise TypeError(f"a field of type {hint!r} cannot be read from JSON")


def _read_bool(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(path, "true or false", value)
    return value


def _number(kind: type[Any], bound: Range) -> Reader:
    name = "a whole number" if kind is int else "a number"

    def read(value: object, path: str) -> Any:
        taken = int if kind is int else (int, float)
        if not isinstance(value, taken) or isinstance(value, bool):
            raise _wrong(path, name, value)
        if not bound.low <= value <= bound.high or not math.isfinite(value):
            raise _wrong(path, f"{name} from {bound.low:g} to {bound.high:g}", value)
        return kind(value)

    return read


def _text(bound: Text) -> Reader:
    pattern = re.compile(bound.pattern)

    def read(value: object, path: str) -> str:
        if not isinstance(value, str) or not _encodable(value):
            raise _wrong(path, "a text", value)
        if len(value) > bound.most:
            raise _wrong(path, f"a text of up to {bound.most} characters", value)
        if pattern.fullmatch(value) is None:
            raise _wrong(path, f"a text like {bound.pattern}", value)
        return value

    return read


def _sequence(item: Reader, bound: Items) -> Reader:
    def read(value: object, path: str) -> tuple[Any, ...]:
        if not is_list(value) or len(value) > bound.most:
            raise _wrong(path, f"a list of up to {bound.most} items", value)
        return tuple([item(one, f"{path}[{number}]") for number, one in enumerate(value)])

    return read


def _mapping(item: Reader, bound: Items) -> Reader:
    def read(value: object, path: str) -> dict[str, Any]:
        if not is_named(value) or len(value) > bound.most or not all(map(_encodable, value)):
            raise _wrong(path, f"an object of up to {bound.most} members", value)
        return {name: item(one, f"{path}.{name[:50]}") for name, one in value.items()}

    return read


def _one_of(choices: tuple[object, ...]) -> Reader:
    def read(value: object, path: str) -> Any:
        for choice in choices:
            if type(choice) is type(value) and choice == value:
                return choice
        raise _wrong(path, f"one of {', '.join(map(repr, choices))}", value)

    return read


def _optional(reader: Reader) -> Reader:
    return lambda value, path: None if value is None else reader(value, path)


def _encodable(text: str) -> bool:
    """Without half surrogates, which no message can carry."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _wrong(path: str, wanted: str, value: object) -> ProtocolError:
    shown = repr(value) if isinstance(value, int | float | str | bool | None) else type(value).__name__
    return ProtocolError(f"{path} cannot be read: it must be {wanted}, not {shown[:80]}")
