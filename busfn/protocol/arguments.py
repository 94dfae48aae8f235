"""Arguments of a call as one value, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from busfn.errors import ProtocolError
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
