"""Functions whose annotations say more than dict and list, for callers without our SDK."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import pathlib
import typing
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import busfn

if typing.TYPE_CHECKING:
    import pandas as pd

app = busfn.App("types")


class Point(typing.NamedTuple):
    x: int
    day: datetime.date


class Color(enum.Enum):
    RED = "red"


class Movie(typing.TypedDict):
    title: str
    shown: typing.NotRequired[datetime.date]


@dataclasses.dataclass
class Item:
    name: str
    price: float = 1.0


@app.function()
def point(p: Point) -> str:
    return f"{type(p).__name__} {p.day.year}"


@app.function()
def frame(n: int) -> pd.DataFrame:
    return f"n is {n!r}"  # type: ignore[return-value]


@app.function()
def kinds(
    items: Sequence[Item],
    days: Mapping[str, datetime.date],
    last: collections.deque[datetime.date],
    path: pathlib.Path,
    pause: datetime.timedelta,
    movie: Movie,
    raw: bytes = b"",
) -> list[str]:
    values: list[Any] = [items[0], days["a"], last, last[0], path, pause, movie["shown"], raw]
    return [type(value).__name__ for value in values]


@app.function()
def returns(what: str) -> Any:
    values = {
        "two keys": {1: "a", "1": "b"},
        "nan": float("nan"),
        "surrogate": "\ud800",
        "object": object(),
        "rich": {"at": datetime.date(2026, 1, 2), "p": Point(1, datetime.date(2026, 1, 2)), "raw": b"hi",
                 "pause": datetime.timedelta(seconds=1), Color.RED: [Item("a")]},
    }  # fmt: skip
    return values[what]


@app.function()
def rest(a: int, /, *more: datetime.date, **named: int) -> list[Any]:
    return [a, [type(one).__name__ for one in more], named]


@app.function()
def days(n: int) -> Iterator[Point]:
    for i in range(n):
        yield Point(i, datetime.date(2026, 1, 1))


@app.function()
async def nodes(item: Item | Movie) -> str:
    return type(item).__name__


@app.function()
async def adays(day: datetime.date) -> AsyncIterator[datetime.date]:
    yield day
