"""Arguments of a call as one value, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from busfn.errors import ProtocolError

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def pack_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
    """A list for positional arguments only, else both under their names."""
    return {"args": list(args), "kwargs": dict(kwargs)} if kwargs else list(args)


def unpack_arguments(value: object) -> Arguments:
    """A list is positional arguments; ``{"args": [...], "kwargs": {...}}`` is both; another object is keyword
    arguments; anything else is the single argument."""
    if isinstance(value, list):
        return tuple(cast("list[Any]", value)), {}
    if not isinstance(value, dict):
        return (value,), {}
    mapping = cast("dict[Any, Any]", value)
    if not all(isinstance(key, str) for key in mapping):
        return (mapping,), {}
    args, kwargs = mapping.get("args"), mapping.get("kwargs", {})
    if mapping.keys() <= {"args", "kwargs"} and isinstance(args, list) and isinstance(kwargs, dict):
        named = cast("dict[Any, Any]", kwargs)
        if not all(isinstance(key, str) for key in named):
            raise ProtocolError("names of keyword arguments must be text")
        return tuple(cast("list[Any]", args)), named
    return (), mapping


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a chunk: a list per parameter (``columns``), or a list per input (``rows``)."""

    columns: list[list[Any]] | None
    rows: list[list[Any]] | None
    kwargs: dict[str, Any]

    def __len__(self) -> int:
        if self.columns is not None:
            return len(self.columns[0])
        return len(self.rows or ())

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Positional arguments of each input."""
        if self.columns is not None:
            return zip(*self.columns, strict=True)
        return (tuple(row) for row in self.rows or ())

    def pack(self) -> object:
        """As one value for a codec."""
        name, inputs = ("columns", self.columns) if self.columns is not None else ("rows", self.rows)
        return {name: inputs, "kwargs": self.kwargs} if self.kwargs else {name: inputs}

    @classmethod
    def unpack(cls, value: object) -> Inputs:
        """Reads `pack`'s value; raises `ProtocolError`."""
        if not isinstance(value, dict):
            raise ProtocolError("a chunk must be an object with `columns` or `rows`")
        data = cast("dict[Any, Any]", value)
        kwargs = data.get("kwargs", {})
        if not isinstance(kwargs, dict) or not all(isinstance(key, str) for key in cast("dict[Any, Any]", kwargs)):
            raise ProtocolError("a chunk's `kwargs` must be an object")
        columns, rows = data.get("columns"), data.get("rows")
        if (columns is None) == (rows is None):
            raise ProtocolError("a chunk must have either `columns` or `rows`")
        return cls(_columns(columns), _lists(rows, "rows"), cast("dict[str, Any]", kwargs))


def _lists(value: object, name: str) -> list[list[Any]] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, list) for one in cast("list[Any]", value)):
        raise ProtocolError(f"a chunk's `{name}` must be a list of lists")
    return cast("list[list[Any]]", value)


def _columns(value: object) -> list[list[Any]] | None:
    columns = _lists(value, "columns")
    if columns is not None and (not columns or len({len(column) for column in columns}) != 1):
        raise ProtocolError("a chunk's `columns` must be lists of one length, at least one")
    return columns
