"""Arguments of a call as one value, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from busfn.errors import ProtocolError
from busfn.protocol.border import is_call_id
from busfn.protocol.shapes import is_dict, is_list, is_named

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def pack_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
    """A list for positional arguments only, else both under their names."""
    return {"args": list(args), "kwargs": dict(kwargs)} if kwargs else list(args)


def unpack_arguments(value: object) -> Arguments:
    """A list is positional arguments; ``{"args": [...], "kwargs": {...}}`` is both; another object is keyword
    arguments; anything else is the single argument."""
    if is_list(value):
        return tuple(value), {}
    if not is_named(value):
        return (value,), {}
    args, kwargs = value.get("args"), value.get("kwargs", {})
    if value.keys() <= {"args", "kwargs"} and is_list(args) and is_dict(kwargs):
        if not is_named(kwargs):
            raise ProtocolError("names of keyword arguments must be text")
        return tuple(args), kwargs
    return (), value


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a chunk: a list per parameter (``columns``), or a list per input (``rows``)."""

    columns: list[list[Any]] | None
    rows: list[list[Any]] | None
    kwargs: dict[str, Any]
    calls: list[str] | None = None
    """Ids, when each input is a call of its own."""

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
        if not is_dict(value):
            raise ProtocolError("a chunk must be an object with `columns` or `rows`")
        kwargs = value.get("kwargs", {})
        if not is_named(kwargs):
            raise ProtocolError("a chunk's `kwargs` must be an object")
        columns, rows = value.get("columns"), value.get("rows")
        if (columns is None) == (rows is None):
            raise ProtocolError("a chunk must have either `columns` or `rows`")
        inputs = cls(_columns(columns), _lists(rows, "rows"), kwargs, _texts(value.get("calls")))
        if inputs.calls is not None and len(inputs.calls) != len(inputs):
            raise ProtocolError("a chunk's `calls` must be as many as its inputs")
        return inputs


def _lists(value: object, name: str) -> list[list[Any]] | None:
    if value is None:
        return None
    if not is_list(value) or not all(is_list(one) for one in value):
        raise ProtocolError(f"a chunk's `{name}` must be a list of lists")
    return value


def _texts(value: object) -> list[str] | None:
    if value is None:
        return None
    if not is_list(value) or not all(isinstance(one, str) and is_call_id(one) for one in value):
        raise ProtocolError("a chunk's `calls` must be a list of call ids")
    return value


def _columns(value: object) -> list[list[Any]] | None:
    columns = _lists(value, "columns")
    if columns is not None and (not columns or len({len(column) for column in columns}) != 1):
        raise ProtocolError("a chunk's `columns` must be lists of one length, at least one")
    return columns
