"""Annotations, resolved one by one: one that cannot be evaluated says nothing, and leaves the others alone."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, cast

from busfn.protocol.shapes import signature_of

Environment = Mapping[Any, Any]
"""What type variables stand for."""


class Unresolved:
    """Stands for an annotation that cannot be evaluated."""

    def __init__(self, text: str) -> None:
        self.text = text


def parameters_of(function: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    """A function's signature, and the annotations of its parameters, with that of the result under ``return``."""
    signature = signature_of(function)
    written = {name: one.annotation for name, one in signature.parameters.items()} | {
        "return": signature.return_annotation
    }
    known = {name: one for name, one in written.items() if one is not inspect.Signature.empty}
    raw: Any = inspect.unwrap(function)
    raw = getattr(raw, "func", raw)  # of a partial
    if not hasattr(raw, "__globals__"):
        raw = vars(raw if isinstance(raw, type) else type(raw)).get("__init__" if isinstance(raw, type) else "__call__")
    return signature, {name: resolve(one, getattr(raw, "__globals__", {}), _around(raw)) for name, one in known.items()}


def fields_of(kind: type, arguments: tuple[Any, ...] = ()) -> dict[str, Any]:
    """The annotations of a class and of those above it; ``arguments`` are for its type variables."""
    found: dict[str, Any] = {}
    environments = _environments(kind, arguments)
    for one in reversed(kind.__mro__):
        names = vars(sys.modules[one.__module__]) if one.__module__ in sys.modules else {}
        local = {**vars(one), one.__name__: one, **_type_parameters(one)}
        for name, annotation in _own_annotations(one).items():
            found[name] = substitute(resolve(annotation, names, local), environments.get(one, {}))
    return found


def resolve(annotation: Any, names: Mapping[str, Any], local: Mapping[str, Any]) -> Any:
    """The annotation with all texts in it evaluated, or `Unresolved`."""
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, dict(names), dict(local), include_extras=True)["it"]
    except Exception as error:  # evaluating annotations runs the user's expressions
        return Unresolved(f"{annotation}: {error}")


def substitute(hint: Any, environment: Environment) -> Any:
    """The hint with what type variables stand for."""
    if type(hint) is typing.TypeVar:
        return environment.get(hint, hint)
    is_alias = type(hint) is not type or typing.get_origin(hint) is not None  # list[T] says that it is a type
    wanted = getattr(hint, "__parameters__", ()) if is_alias else ()
    if not environment or not wanted:
        return hint
    try:
        return cast(Any, hint)[tuple(environment.get(one, one) for one in wanted)]
    except Exception:  # type variables of kinds that nothing is put in for
        return hint


def meaning(hint: Any) -> Any:
    """What stands behind `Annotated`, `Required`, a `NewType`, a type variable and the like."""
    while True:
        origin = typing.get_origin(hint)
        if origin is typing.Annotated or getattr(origin, "_name", "") in _WRAPPERS:
            hint = typing.get_args(hint)[0]
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif isinstance(hint, typing.TypeVar):
            hint = _of_variable(hint)
        else:
            return hint


_WRAPPERS = frozenset({"Required", "NotRequired", "ReadOnly", "Final", "ClassVar"})


def wrappers(hint: Any) -> set[str]:
    """Which of `Required`, `NotRequired` and the like a hint is wrapped in."""
    found: set[str] = set()
    while (origin := typing.get_origin(hint)) is typing.Annotated or getattr(origin, "_name", "") in _WRAPPERS:
        found.add(getattr(origin, "_name", ""))
        hint = typing.get_args(hint)[0]
    return found


def _of_variable(variable: typing.TypeVar) -> Any:
    if variable.__constraints__:
        return typing.Union[variable.__constraints__]  # noqa: UP007
    return Any if variable.__bound__ is None else variable.__bound__


def _around(function: Any) -> dict[str, Any]:
    """Names that a function's annotations may use beside those of its module."""
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None) or ()
    local = _type_parameters(function)
    for name, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
        try:
            local[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return local


def _type_parameters(owner: Any) -> dict[str, Any]:
    return {one.__name__: one for one in getattr(owner, "__type_params__", ())}


def _own_annotations(kind: type) -> dict[str, Any]:
    found: Any = vars(kind).get("__annotations__", {})
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _environments(kind: type, arguments: tuple[Any, ...]) -> dict[type, Environment]:
    """For a class and those above it, what its type variables stand for."""
    parameters: tuple[Any, ...] = getattr(kind, "__parameters__", ())
    own: dict[Any, Any] = dict(zip(parameters, arguments, strict=False))
    found: dict[type, Environment] = {kind: own}
    for base in getattr(kind, "__orig_bases__", ()):
        origin = typing.get_origin(base)
        if isinstance(origin, type) and origin is not typing.Generic:
            inner = tuple(substitute(one, own) for one in typing.get_args(base))
            found = {**_environments(origin, inner), **found}
    return found
