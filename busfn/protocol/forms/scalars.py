"""Forms of single values."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import decimal
import enum
import math
import re
import uuid
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any, cast

from busfn.protocol.forms.form import Definitions, Form, Misfit, Run, Schema, refusal
from busfn.protocol.forms.plain import duration, enum_by_value, plain

MAX_WHOLE_FLOAT = 2.0**53
"""Up to here a number like 3.0 is exactly a whole one."""


class Scalar(Form):
    """None, a truth value, text: taken as they are."""

    def __init__(self, kind: type, expected: str, schema: Schema) -> None:
        self.exact = kind
        self._expected = expected
        self._schema = schema

    def read(self, value: Any, run: Run) -> Any:
        if type(value) is not self.exact:
            raise refusal(value, self._expected)
        return value

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        return dict(self._schema)


class Whole(Form):
    """An int; JSON does not tell 3 from 3.0."""

    exact = int

    def read(self, value: Any, run: Run) -> Any:
        if type(value) is int:
            return value
        if type(value) is float and value.is_integer() and abs(value) <= MAX_WHOLE_FLOAT:
            return int(value)
        raise refusal(value, "a whole number")

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        return {"type": "integer"}


class Number(Form):
    """A float."""

    exact = float

    def read(self, value: Any, run: Run) -> Any:
        if type(value) is float:
            return value
        if type(value) is not int:
            raise refusal(value, "a number")
        try:
            return float(value)
        except OverflowError:
            raise refusal(value, "a number that a float can hold") from None

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        return {"type": "number"}


class ComplexNumber(Form):
    """A complex number, as ``[real, imaginary]``."""

    def read(self, value: Any, run: Run) -> Any:
        if type(value) is complex:
            return value
        pair = cast("Sequence[Any]", value) if isinstance(value, list | tuple) else (value, 0)
        if len(pair) != 2 or not all(type(one) in (int, float) for one in pair):
            raise refusal(cast(object, value), "a complex number as [real, imaginary]")
        try:
            return complex(*pair)
        except OverflowError:
            raise refusal(pair, "numbers that a float can hold") from None

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        number = {"type": "number"}
        pair = {"type": "array", "prefixItems": [number, number], "items": False, "minItems": 2}
        return pair if sent else {"anyOf": [pair, number]}


class Binary(Form):
    """Bytes: as they are in msgpack, as base64 in JSON."""

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self.exact = kind if kind is bytes else None

    def read(self, value: Any, run: Run) -> Any:
        if isinstance(value, str):
            try:
                value = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise refusal(value, "bytes as base64") from None
        if not isinstance(value, bytes | bytearray):
            raise refusal(value, "bytes as base64")
        return value if isinstance(value, self._kind) else self._kind(value)

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        return {"type": "string", "contentEncoding": "base64"}


class Text(Form):
    """A value that is written as text, like a date or a path."""

    def __init__(self, kind: type, parse: Callable[[str], Any], schema: Schema, name: str = "") -> None:
        self._kind = kind
        self._parse = parse
        self._schema = schema
        self._name = name or kind.__name__

    def read(self, value: Any, run: Run) -> Any:
        if isinstance(value, self._kind) and not (self._kind is dt.date and isinstance(value, dt.datetime)):
            return value
        if isinstance(value, str):
            try:
                return self._parse(value)
            except (ValueError, ArithmeticError, TypeError):
                pass
        raise refusal(cast(object, value), f"a {self._name} as text")

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        return dict(self._schema)


class DecimalNumber(Text):
    """A Decimal: text, so that nothing is rounded; a number is read as it is written."""

    def __init__(self) -> None:
        super().__init__(decimal.Decimal, decimal.Decimal, {"type": "string"})

    def read(self, value: Any, run: Run) -> Any:
        is_number = type(value) is int or (type(value) is float and math.isfinite(value))
        if not is_number:
            return super().read(value, run)
        try:
            return decimal.Decimal(str(value))
        except ValueError:  # thousands of digits
            raise refusal(value, "a Decimal as text") from None

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        return {"type": "string"} if sent else {"anyOf": [{"type": "string"}, {"type": "number"}]}


class Duration(Text):
    """A timedelta: ISO 8601 like ``P1DT2H3.5S``; a number is read as seconds."""

    def __init__(self) -> None:
        super().__init__(dt.timedelta, parse_duration, {"type": "string", "format": "duration"})

    def read(self, value: Any, run: Run) -> Any:
        if type(value) not in (int, float):
            return super().read(value, run)
        try:
            return dt.timedelta(seconds=value)
        except (OverflowError, ValueError):
            raise refusal(value, "a timedelta in seconds") from None

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        text = super().schema(sent, definitions)
        return text if sent else {"anyOf": [text, {"type": "number"}]}


_NUMBER = r"(\d{1,15}(?:\.\d{1,9})?)"
_DURATION = re.compile(
    rf"(-)?P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=\d)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?", re.ASCII
)


def parse_duration(text: str) -> dt.timedelta:
    """Reads ISO 8601 durations of weeks, days, hours, minutes and seconds; raises ValueError or OverflowError."""
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()[1:]):
        raise ValueError(text)
    sign, *numbers = found.groups()
    names = ("weeks", "days", "hours", "minutes", "seconds")
    whole = dt.timedelta(**{name: _exact(number) for name, number in zip(names, numbers, strict=True) if number})
    return -whole if sign else whole


def _exact(number: str) -> float:
    return float(number) if "." in number else int(number)


class Choice(Form):
    """A Literal: one of these values."""

    def __init__(self, options: Sequence[Any]) -> None:
        self._options = [(plain(option), option) for option in options]

    def read(self, value: Any, run: Run) -> Any:
        for written, option in self._options:
            if value is option or (type(written) is type(value) and written == value):
                return option
        raise refusal(value, "one of " + ", ".join(repr(written) for written, _ in self._options))

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        return {"enum": [written for written, _ in self._options]}


class Member(Form):
    """A member of an Enum: by its value; by its name where values cannot be said in JSON."""

    def __init__(self, kind: type[enum.Enum]) -> None:
        self._kind = kind
        self._by_value = enum_by_value(kind)
        written = {name: member.value if self._by_value else name for name, member in kind.__members__.items()}
        self._members = [(one, kind[name]) for name, one in written.items()]
        self._open = "_missing_" in vars(kind) or issubclass(kind, enum.Flag)

    def read(self, value: Any, run: Run) -> Any:
        if isinstance(value, self._kind):
            return value
        for written, member in self._members:
            if type(written) is type(value) and written == value:
                return member
        scalars = (int,) if issubclass(self._kind, enum.Flag) else (int, str, float, bool, type(None))
        if self._open and type(value) in scalars:
            try:
                return self._kind(value)
            except Exception:  # a class's own `_missing_` may raise anything
                pass
        raise refusal(value, "one of " + ", ".join(repr(written) for written in self._unique()))

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        if issubclass(self._kind, enum.Flag):
            return {"type": "integer"}
        return {"examples": self._unique()} if self._open and not sent else {"enum": self._unique()}

    def _unique(self) -> list[Any]:
        """Without aliases."""
        return [
            written
            for written, member in self._members
            if not self._by_value or member.name in self._kind._member_names_
        ]


class Instance(Form):
    """An object of a class that nothing sent can become; in pickles and msgpack it may come as it is."""

    def __init__(self, kind: type, name: str) -> None:
        self._kind = kind
        self._name = name

    def read(self, value: Any, run: Run) -> Any:
        try:
            if isinstance(value, self._kind):
                return value
        except Exception:  # a class that cannot be asked checks nothing
            return value
        raise Misfit(f" must be a {self._name}, which cannot be sent by callers of other kinds")

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        return {} if sent or _has_plain(self._kind) else {"not": {}, "description": f"a {self._name}"}


def _has_plain(kind: type) -> bool:
    """Whether data is among its instances, as it is for many abstract classes."""
    try:
        return any(issubclass(one, kind) for one in (int, float, str, bool, list, dict, type(None)))
    except Exception:
        return True


class Subclass(Form):
    """A class made of a builtin one, like a str with methods."""

    def __init__(self, kind: type, base: Form) -> None:
        self._kind = kind
        self._base = base

    def read(self, value: Any, run: Run) -> Any:
        if isinstance(value, self._kind):
            return value
        read = self._base.read(value, run)
        try:
            return self._kind(read)
        except Exception as error:  # its initializer may raise anything
            raise Misfit(f": {error}") from None

    def schema(self, sent: bool, definitions: Definitions) -> Schema:
        return self._base.schema(sent, definitions)


def text_forms() -> dict[type, Form]:
    """Builtin classes that are written as text, or as a number."""
    return {
        dt.datetime: Text(dt.datetime, dt.datetime.fromisoformat, {"type": "string", "format": "date-time"}),
        dt.date: Text(dt.date, dt.date.fromisoformat, {"type": "string", "format": "date"}),
        dt.time: Text(dt.time, dt.time.fromisoformat, {"type": "string", "format": "time"}),
        uuid.UUID: Text(uuid.UUID, uuid.UUID, {"type": "string", "format": "uuid"}),
        dt.timedelta: Duration(),
        decimal.Decimal: DecimalNumber(),
        complex: ComplexNumber(),
    }


def path_form(kind: type[PurePath]) -> Form:
    """A path of any kind."""
    return Text(kind, kind, {"type": "string", "format": "path"}, "path")


__all__ = [
    "Binary", "Choice", "ComplexNumber", "DecimalNumber", "Duration", "Instance", "Member", "Number", "Scalar",
    "Subclass", "Text", "Whole", "duration", "parse_duration", "path_form", "text_forms",
]  # fmt: skip
