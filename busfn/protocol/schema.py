"""JSON schemas of functions, for discovery."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import inspect
import math
import types
import typing
import uuid
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from busfn.protocol.convert import hints_of, meaning
from busfn.protocol.shapes import is_dataclass, signature_of

Schema = dict[str, Any]

_SIMPLE: dict[Any, Schema] = {
    int: {"type": "integer"}, float: {"type": "number"}, str: {"type": "string"}, bool: {"type": "boolean"},
    type(None): {"type": "null"},
    dt.datetime: {"type": "string", "format": "date-time"}, dt.date: {"type": "string", "format": "date"},
    dt.time: {"type": "string", "format": "time"}, uuid.UUID: {"type": "string", "format": "uuid"},
    decimal.Decimal: {"type": "string"}, list: {"type": "array"}, tuple: {"type": "array"}, set: {"type": "array"},
    frozenset: {"type": "array"}, dict: {"type": "object"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Description:
    """What discovery says of a function."""

    summary: str
    parameters: Schema
    result: Schema


def describe(function: Callable[..., Any]) -> Description:
    """The function's schemas and the first line of its docstring."""
    hints = hints_of(function)
    doc = inspect.getdoc(function) or ""
    parameters = parameters_schema(signature_of(function), hints)
    return Description(doc.partition("\n")[0], parameters, schema_of(hints.get("return", Any)))


def parameters_schema(signature: inspect.Signature, hints: dict[str, Any]) -> Schema:
    """An object schema of a function's parameters."""
    properties: dict[str, Schema] = {}
    required: list[str] = []
    extra = False
    for name, parameter in signature.parameters.items():
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            extra = True
            continue
        properties[name] = schema_of(hints.get(name, Any))
        if parameter.default is inspect.Parameter.empty:
            required.append(name)
        elif _is_json(parameter.default):
            properties[name] = {**properties[name], "default": parameter.default}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": extra}


def _is_json(default: object) -> bool:
    return isinstance(default, int | str | None) or (isinstance(default, float) and math.isfinite(default))


def schema_of(hint: Any) -> Schema:
    """The JSON schema of an annotation; ``{}`` when it says nothing that JSON schema can say."""
    return _schema(hint, ())


def _schema(hint: Any, around: tuple[type[Any], ...]) -> Schema:
    """``around`` are the dataclasses it stands in: one that holds itself ends there."""
    hint = meaning(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(arg, around) for arg in args]}
    if origin is typing.Literal:
        return {"enum": list(args)}
    if isinstance(origin, type) and args:
        return _generic(origin, args, around)
    kind = type(None) if hint is None else origin or hint
    if not isinstance(kind, type):
        return {}
    return dict(_SIMPLE[kind]) if kind in _SIMPLE else _class(kind, around)


def _generic(origin: type, args: tuple[Any, ...], around: tuple[type[Any], ...]) -> Schema:
    if issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(args[1] if len(args) == 2 else Any, around)}
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        return {"type": "array", "prefixItems": [_schema(arg, around) for arg in args], "items": False}
    if issubclass(origin, Iterable | AsyncIterable):  # also what a generator function yields
        return {"type": "array", "items": _schema(args[0], around)}
    return {}


def _class(hint: type[Any], around: tuple[type[Any], ...]) -> Schema:
    if issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    if is_dataclass(hint):
        return {"type": "object", "title": hint.__name__} if hint in around else _dataclass(hint, (*around, hint))
    model_schema = getattr(hint, "model_json_schema", None)
    if model_schema is not None:
        return _model(model_schema)
    return {}


def _model(model_schema: Callable[[], Schema]) -> Schema:
    try:
        return model_schema()
    except Exception:  # a model may hold what has no schema; it is no reason not to serve the function
        return {}


def _dataclass(hint: Any, around: tuple[type[Any], ...]) -> Schema:
    hints = hints_of(hint)
    fields = [f for f in dataclasses.fields(hint) if f.init]
    missing = dataclasses.MISSING
    required = [f.name for f in fields if f.default is missing and f.default_factory is missing]
    properties = {f.name: _schema(hints.get(f.name, Any), around) for f in fields}
    return {"type": "object", "title": hint.__name__, "properties": properties, "required": required}
