"""Checks and converts what a foreign caller sent to what a function's annotations ask for."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import inspect
import types
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from busfn.errors import InvalidError
from busfn.protocol.shapes import is_dataclass, is_dict

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class BadCall(InvalidError):
    """The arguments do not fit the function; it was not run."""


def convert_arguments(
    signature: inspect.Signature, hints: Mapping[str, Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Arguments:
    """Arguments as the function wants them. Raises `BadCall` with the path, what was expected and what came."""
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise BadCall(f"the arguments do not fit: {error}") from None
    for name, value in bound.arguments.items():
        hint = hints.get(name, Any)
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            bound.arguments[name] = tuple(convert(v, hint, f"{name}[{i}]") for i, v in enumerate(value))
        elif kind is inspect.Parameter.VAR_KEYWORD:
            bound.arguments[name] = {k: convert(v, hint, k) for k, v in value.items()}
        else:
            bound.arguments[name] = convert(value, hint, name)
    return bound.args, bound.kwargs


def convert(value: Any, hint: Any, path: str) -> Any:
    """The value as ``hint`` wants it; hints that say nothing checkable let everything pass."""
    hint = meaning(hint)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _union(value, typing.get_args(hint), path)
    if origin is typing.Literal:
        return _literal(value, typing.get_args(hint), path)
    kind = origin or hint
    if not isinstance(kind, type):
        return value if hint is not None or value is None else _refuse(value, "null", path)
    converter = _CONTAINERS.get(kind)
    if converter is not None:
        return converter(value, typing.get_args(hint), path)
    return _class(value, kind, path)


def meaning(hint: Any) -> Any:
    """What stands behind `Annotated`, a `NewType` and a `type` statement."""
    while True:
        if typing.get_origin(hint) is typing.Annotated:
            hint = typing.get_args(hint)[0]
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":  # of Python 3.12
            hint = hint.__value__
        else:
            return hint


def _refuse(value: object, expected: str, path: str) -> Any:
    raise BadCall(f"`{path}` must be {expected}, not {_shown(value)}")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        return f"a {type(value).__name__} too long to show"
    return text if len(text) <= 80 else text[:77] + "..."


def _union(value: Any, options: Sequence[Any], path: str) -> Any:
    for option in options:
        if isinstance(option, type) and type(value) is option:
            return value
    reasons: list[str] = []
    for option in options:
        try:
            return convert(value, type(None) if option is None else option, path)
        except BadCall as error:
            reasons.append(str(error))
    raise BadCall("; or ".join(reasons))


def _literal(value: Any, options: Sequence[Any], path: str) -> Any:
    for option in options:
        if type(option) is type(value) and option == value:
            return option
    return _refuse(value, "one of " + ", ".join(map(repr, options)), path)


def _sequence(make: Callable[[list[Any]], Any]) -> Callable[[Any, Sequence[Any], str], Any]:
    def convert_sequence(value: Any, args: Sequence[Any], path: str) -> Any:
        if not isinstance(value, list | tuple | set | frozenset):
            return _refuse(value, "a list", path)
        item = args[0] if args else Any
        items = cast("Sequence[Any]", value)
        try:
            return make([convert(one, item, f"{path}[{i}]") for i, one in enumerate(items)])
        except TypeError as error:
            raise BadCall(f"`{path}`: {error}") from None

    return convert_sequence


def _tuple(value: Any, args: Sequence[Any], path: str) -> Any:
    if not args or (len(args) == 2 and args[1] is Ellipsis):
        return _sequence(tuple)(value, args[:1], path)
    if not isinstance(value, list | tuple) or len(cast("Sequence[Any]", value)) != len(args):
        return _refuse(cast(object, value), f"a list of {len(args)}", path)
    pairs = zip(cast("Sequence[Any]", value), args, strict=True)
    return tuple(convert(one, hint, f"{path}[{i}]") for i, (one, hint) in enumerate(pairs))


def _dict(value: Any, args: Sequence[Any], path: str) -> Any:
    if not is_dict(value):
        return _refuse(value, "an object", path)
    key_hint, value_hint = args if len(args) == 2 else (Any, Any)
    return {_key(k, key_hint, f"{path} key"): convert(v, value_hint, f"{path}[{_shown(k)}]") for k, v in value.items()}


def _key(key: Any, hint: Any, path: str) -> Any:
    """A key of a JSON object is always text."""
    if hint in (int, float) and isinstance(key, str):
        return _text(key, hint, hint, path)
    return convert(key, hint, path)


_CONTAINERS: dict[Any, Callable[[Any, Sequence[Any], str], Any]] = {
    list: _sequence(list), set: _sequence(set), frozenset: _sequence(frozenset), tuple: _tuple, dict: _dict,
}  # fmt: skip


def _class(value: Any, hint: type[Any], path: str) -> Any:
    scalar = _SCALARS.get(hint)
    if scalar is not None:
        return _scalar(value, hint, *scalar, path)
    if _is_instance(value, hint):
        return value
    if issubclass(hint, enum.Enum):
        return _enum(value, hint, path)
    parse = _FROM_TEXT.get(hint)
    if parse is not None:
        return _text(value, parse, hint, path)
    if is_dataclass(hint):
        return _dataclass(value, hint, path)
    validate = getattr(hint, "model_validate", None)
    if validate is not None:
        return _model(value, validate, path)
    if hint in (bytes, bytearray, type(None)):
        return _refuse(value, "null" if hint is type(None) else "bytes (send msgpack: JSON has none)", path)
    return value


def _is_instance(value: Any, hint: type) -> bool:
    """Also True for what cannot be asked: `Any`, protocols, typed dicts."""
    try:
        return isinstance(value, hint)
    except TypeError:
        return True


def _scalar(value: Any, hint: type[Any], accepted: tuple[type, ...], expected: str, path: str) -> Any:
    if type(value) not in accepted:
        return _refuse(value, expected, path)
    try:
        return hint(value)
    except OverflowError:
        return _refuse(value, f"{expected} that a float can hold", path)


_SCALARS: dict[type, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
    str: ((str,), "text"),
}

_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    dt.datetime: dt.datetime.fromisoformat, dt.date: dt.date.fromisoformat, dt.time: dt.time.fromisoformat,
    uuid.UUID: uuid.UUID, decimal.Decimal: decimal.Decimal,
}  # fmt: skip


def _text(value: Any, parse: Callable[[str], Any], hint: type[Any], path: str) -> Any:
    is_number = hint is decimal.Decimal and type(value) in (int, float)
    if not isinstance(value, str) and not is_number:
        return _refuse(value, f"a {hint.__name__} as text", path)
    try:
        return parse(str(value))
    except (ValueError, ArithmeticError):
        return _refuse(value, f"a {hint.__name__} as text", path)


def _enum(value: Any, hint: type[enum.Enum], path: str) -> Any:
    try:
        return hint(value)
    except Exception:  # a class's own `_missing_` may raise anything
        return _refuse(value, "one of " + ", ".join(repr(member.value) for member in hint), path)


def _dataclass(value: Any, hint: Any, path: str) -> Any:
    if not isinstance(value, dict):
        return _refuse(value, f"an object ({hint.__name__})", path)
    given = cast("dict[str, Any]", value)
    hints = hints_of(hint)
    known = {f.name for f in dataclasses.fields(hint) if f.init}
    if unknown := [name for name in given if name not in known]:
        return _refuse(unknown[0], f"a field of {hint.__name__} ({', '.join(sorted(known))})", path)
    converted = {name: convert(item, hints.get(name, Any), f"{path}.{name}") for name, item in given.items()}
    try:
        return hint(**converted)
    except Exception as error:  # checks in its `__post_init__` may raise anything
        raise BadCall(f"`{path}`: {error}") from None


def hints_of(annotated: Any) -> dict[str, Any]:
    """The annotations of a function or a class."""
    try:
        return typing.get_type_hints(annotated)
    except (NameError, TypeError, AttributeError):  # an annotation that cannot be evaluated checks nothing
        return {}


def _model(value: Any, validate: Callable[[Any], Any], path: str) -> Any:
    try:
        return validate(value)
    except ValueError as error:  # pydantic's ValidationError is one
        raise BadCall(f"`{path}`: {error}") from None
