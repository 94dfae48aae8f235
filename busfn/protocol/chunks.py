"""The inputs of one message, each on its own: encoded when it is handed over, decoded when it is run.

What becomes of an input does not depend on the ones that it travels with: no object is shared between two of them, and
one that cannot be decoded spoils none of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from busfn.errors import ProtocolError
from busfn.protocol.arguments import Arguments
from busfn.protocol.border import is_call_id
from busfn.protocol.codecs import MSGPACK, PICKLE, PICKLES, Codecs, Payload, pickle
from busfn.protocol.codecs.msgpack import SCALARS, pack, pack_items, pack_map, snapshot
from busfn.protocol.codecs.unpacking import slice_list, slice_map, unpack
from busfn.protocol.shapes import is_dict, is_list, is_named

T = TypeVar("T")

Row = tuple[Any, ...]
"""Positional arguments of an input."""
FrozenRow = Row | bytes
"""A row that nothing can change any more: of scalars and of copies, or encoded."""


class ChunkWriter:
    """Encodes the inputs of one map, and what they share, as they are when they are given to it."""

    def __init__(self, codecs: Codecs, kwargs: Mapping[str, Any], *, uniform: bool) -> None:
        self._codecs = codecs
        self._uniform = uniform
        self.kwargs = codecs.encode_item(dict(kwargs), what="kwargs") if kwargs else b""
        """Keyword arguments of all inputs, which every chunk ends with."""

    def freeze(self, row: Row) -> FrozenRow:
        """A row as it is now. Raises `SerializationError`."""
        if SCALARS.issuperset(map(type, row)):  # most are, and this is all the time that they take
            return row
        frozen = tuple(map(snapshot, row))
        if None in frozen and any(copy is None is not value for copy, value in zip(frozen, row, strict=True)):
            return self._codecs.encode_item(list(row), what="args")
        return frozen

    def chunk(self, rows: Sequence[FrozenRow], scope: str) -> Payload:
        """The body of a message; ``scope`` is what a signature binds it to."""
        items = self._inputs(rows)
        if self.kwargs:
            items["kwargs"] = self.kwargs
        body = pack_map(items)
        pickled = _is_pickled(self.kwargs) or any(type(row) is bytes and _is_pickled(row) for row in rows)
        return self._codecs.signed(Payload(content_type=PICKLES if pickled else MSGPACK, body=body), scope)

    def _inputs(self, rows: Sequence[FrozenRow]) -> dict[str, bytes]:
        """A list for each parameter, which takes the least time, unless some inputs had to be encoded."""
        if self._uniform and bytes not in map(type, rows):
            return {"columns": pack([list(column) for column in zip(*cast("Sequence[Row]", rows), strict=True)])}
        return {"rows": pack_items([row if type(row) is bytes else pack(list(row)) for row in rows])}


def join_calls(rows: Sequence[bytes], calls: Sequence[str]) -> bytes:
    """A chunk of calls of their own: packed arguments and the id of each."""
    return pack_map({"calls": pack(list(calls)), "rows": pack_items(rows)})


class Inputs:
    """The inputs of a message that has arrived. Raises `ProtocolError` when they cannot be told apart."""

    def __init__(self, codecs: Codecs, payload: Payload, scope: str) -> None:
        self._signed = payload.content_type != MSGPACK
        parts = _Parts.of(codecs, payload, scope)
        self._columns = parts.columns()
        self._rows = [] if self._columns else parts.rows(signed=self._signed)
        self._count = len(self._columns or self._rows)
        self._kwargs, self._shared = parts.kwargs()
        self.calls = parts.calls(self._count)
        """Ids, when each input is a call of its own."""

    def __len__(self) -> int:
        return self._count

    def arguments(self, offset: int) -> Arguments:
        """Those of an input, of objects that no other input has. Raises what decoding them raises."""
        columns, shared = self._columns, self._shared
        args = columns[offset] if columns else self._args(self._rows[offset])
        return args, shared if shared is not None else self._named(self._kwargs)

    def _args(self, row: Any) -> Row:
        value = self._value(row)
        if not is_list(value):
            raise ProtocolError("the positional arguments of an input must be a list")
        return tuple(value)

    def _named(self, kwargs: Any) -> dict[str, Any]:
        value = self._value(kwargs)
        if not is_named(value):
            raise ProtocolError("a chunk's `kwargs` must be an object")
        return value

    def _value(self, item: Any) -> Any:
        if isinstance(item, _Packed):
            item = unpack(item.data)
        return pickle.loads(item) if isinstance(item, bytes) and self._signed else item


class _Packed:
    """A value that was not decoded with the others, because one of them cannot be."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _Parts:
    """What a chunk consists of, as far as it can be decoded together."""

    def __init__(self, value: object, body: bytes = b"") -> None:
        if not is_dict(value):
            raise ProtocolError("a chunk must be an object with `columns` or `rows`")
        self._value = value
        self._body = body

    @classmethod
    def of(cls, codecs: Codecs, payload: Payload, scope: str) -> _Parts:
        if payload.content_type == PICKLE:  # as it was queued before inputs were pickled one by one
            return cls(codecs.decode(payload, scope=scope))
        if payload.content_type != MSGPACK:
            codecs.verify(payload, scope)
        body = payload.whole().body
        try:
            value = unpack(body)
        except ProtocolError:
            value = _apart(body)
        return cls(value, body)

    def columns(self) -> list[Row]:
        """Positional arguments of each input, if they came as a list for each parameter."""
        columns = self._value.get("columns")
        if (columns is None) == (self._value.get("rows") is None):
            raise ProtocolError("a chunk must have either `columns` or `rows`")
        if columns is None:
            return []
        if not is_list(columns) or not all(is_list(column) for column in columns):
            raise ProtocolError("a chunk's `columns` must be a list of lists")
        return list(zip(*_of_one_length(columns), strict=True))

    def rows(self, *, signed: bool) -> list[Any]:
        """Positional arguments of each input, if they came together."""
        rows = self._value.get("rows", [])
        kinds = (list, bytes, _Packed) if signed else (list, _Packed)
        if not is_list(rows) or not all(isinstance(row, kinds) for row in rows):
            raise ProtocolError("a chunk's `rows` must be a list of lists")
        return rows

    def kwargs(self) -> tuple[Any, dict[str, Any] | None]:
        """Keyword arguments that each input has to decode for itself, or else those that nothing can change."""
        kwargs = self._value.get("kwargs", {})
        if isinstance(kwargs, _Packed | bytes):
            return kwargs, None
        if not is_named(kwargs):
            raise ProtocolError("a chunk's `kwargs` must be an object")
        if not self._body or SCALARS.issuperset(map(type, kwargs.values())):
            return None, kwargs
        return _Packed(slice_map(self._body)["kwargs"]), None

    def calls(self, count: int) -> list[str] | None:
        calls = self._value.get("calls")
        if calls is None:
            return None
        if not is_list(calls) or not all(isinstance(one, str) and is_call_id(one) for one in calls):
            raise ProtocolError("a chunk's `calls` must be a list of call ids")
        if len(calls) != count:
            raise ProtocolError("a chunk's `calls` must be as many as its inputs")
        return calls


def _apart(body: bytes) -> dict[str, Any]:
    """The parts of a chunk that cannot be decoded as one."""
    packed = slice_map(body)
    parts: dict[str, Any] = {name: unpack(packed[name]) for name in packed.keys() - {"rows", "columns", "kwargs"}}
    if "kwargs" in packed:
        parts["kwargs"] = _Packed(packed["kwargs"])
    if "rows" in packed:
        parts["rows"] = [_Packed(row) for row in slice_list(packed["rows"])]
    if "columns" in packed:
        columns = _of_one_length([slice_list(column) for column in slice_list(packed["columns"])])
        parts["rows"] = [_Packed(pack_items(row)) for row in zip(*columns, strict=True)]
    return parts


def _is_pickled(item: bytes) -> bool:
    """Whether what `Codecs.encode_item` gave is bytes; arguments never are."""
    return item[:1] in (b"\xc4", b"\xc5", b"\xc6")


def _of_one_length(columns: list[list[T]]) -> list[list[T]]:
    if not columns or len({len(column) for column in columns}) != 1:
        raise ProtocolError("a chunk's `columns` must be lists of one length, at least one")
    return columns
