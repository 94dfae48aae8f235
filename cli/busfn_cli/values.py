"""Texts of the command line as values. Pure."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import pathlib
import typing
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Parser:
    """Makes values of one type."""

    parse: Callable[[str], Any]
    """Raises `ValueError` or `ArithmeticError` for what it cannot read."""
    shown: str
    """In help texts."""
    expected: str
    """In error messages, after "is not"."""


_PATH = Parser(pathlib.Path, "PATH", "a path")
_SIMPLE: dict[Any, Parser] = {
    str: Parser(str, "TEXT", "text"),
    int: Parser(int, "INTEGER", "a valid integer"),
    float: Parser(float, "FLOAT", "a valid number"),
    pathlib.Path: _PATH,
    type(pathlib.Path()): _PATH,  # what a default is
    dt.datetime: Parser(dt.datetime.fromisoformat, "DATETIME", "a date and time, as in 2026-01-31T12:00:00"),
    dt.date: Parser(dt.date.fromisoformat, "DATE", "a date, as in 2026-01-31"),
    dt.time: Parser(dt.time.fromisoformat, "TIME", "a time, as in 12:30"),
    decimal.Decimal: Parser(decimal.Decimal, "DECIMAL", "a decimal number"),
    uuid.UUID: Parser(uuid.UUID, "UUID", "a UUID"),
}


def parser_of(hint: Any) -> Parser | None:
    """How to read a value of this type; None when a text cannot say one."""
    if typing.get_origin(hint) is typing.Literal:
        return _choice([(str(option), option) for option in typing.get_args(hint)])
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _choice([(str(member.value), member) for member in hint])
    if hint is bool:
        return _choice([("true", True), ("false", False)])
    return _SIMPLE.get(hint)


def _choice(named: list[tuple[str, Any]]) -> Parser | None:
    options = dict(named)
    if len(options) < len(named):  # 1 and "1": a text could mean either
        return None

    def parse(text: str) -> Any:
        if text not in options:
            raise ValueError(text)
        return options[text]

    names = list(options)
    return Parser(parse, "[" + "|".join(names) + "]", "one of " + ", ".join(names))
