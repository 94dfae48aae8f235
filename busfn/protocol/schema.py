"""JSON schemas of functions, for discovery."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import inspect
import types
import typing
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

Schema = dict[str, Any]

_SIMPLE: dict[Any, Schema] = {
    int: {"type": "integer"}, float: {"type": "number"}, str: {"type": "string"}, bool: {"type": "boolean"},
    type(None): {"type": "null"}, None: {"type": "null"},
    dt.datetime: {"type": "string", "format": "date-time"}, dt.date: {"type": "string", "format": "date"},
    dt.time: {"type": "string", "format": "time"}, uuid.UUID: {"type": "string", "format": "uuid"},
    decimal.Decimal: {"type": "string"}, list: {"type": "array"}, tuple: {"type": "array"}, set: {"type": "array"},
    dict: {"type": "object"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Description:
    """What discovery says of a function."""

    summary: str
    parameters: Schema
    result: Schema


def describe(function: Callable[..., Any]) -> Description:
    """The function's schemas and the first line of its docstring."""
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # an annotation that cannot be evaluated says nothing
        hints = {}
    doc = inspect.getdoc(function) or ""
    parameters = parameters_schema(inspect.signature(function), hints)
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
        elif isinstance(parameter.default, int | float | str | bool | None):
            properties[name] = {**properties[name], "default": parameter.default}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": extra}


def schema_of(hint: Any) -> Schema:
    """The JSON schema of an annotation; ``{}`` when it says nothing that JSON schema can say."""
    if hint in _SIMPLE:
        return dict(_SIMPLE[hint])
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return schema_of(args[0])
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(arg) for arg in args]}
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin is not None:
        return _generic(origin, args)
    return _class(hint) if isinstance(hint, type) else {}


def _generic(origin: Any, args: tuple[Any, ...]) -> Schema:
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(args[1])}
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        return {"type": "array", "prefixItems": [schema_of(arg) for arg in args], "items": False}
    if origin in (list, set, frozenset, tuple):
        return {"type": "array", "items": schema_of(args[0])}
    if isinstance(origin, type) and args and hasattr(origin, "__iter__"):
        return {"type": "array", "items": schema_of(args[0])}  # what a generator function yields
    return {}


def _class(hint: type) -> Schema:
    if issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint)
    model_schema = getattr(hint, "model_json_schema", None)
    if model_schema is not None:
        return cast(Schema, model_schema())
    return {}


def _dataclass(hint: Any) -> Schema:
    hints = typing.get_type_hints(hint)
    missing = dataclasses.MISSING
    required = [f.name for f in dataclasses.fields(hint) if f.default is missing and f.default_factory is missing]
    properties = {f.name: schema_of(hints.get(f.name, Any)) for f in dataclasses.fields(hint)}
    return {"type": "object", "title": hint.__name__, "properties": properties, "required": required}
