"""Asking for the type of data from outside, in a way that type checkers follow."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard


def is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def inherits(kind: type, base: type) -> bool:
    """`issubclass`, without narrowing the type."""
    return issubclass(kind, base)


def is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def is_dataclass(value: object) -> bool:
    """Whether it is a dataclass or an instance of one; without narrowing its type to something nobody can use."""
    return dataclasses.is_dataclass(value)


def kind_of(value: object) -> type[Any]:
    return type(value)


def is_named(value: object) -> TypeGuard[dict[str, Any]]:
    """A dict whose keys are all text."""
    return is_dict(value) and all(isinstance(key, str) for key in value)


def signature_of(function: Callable[..., object]) -> inspect.Signature:
    """The function's signature; one that takes everything for a built-in function that does not tell its own."""
    try:
        return inspect.signature(function)
    except ValueError:
        args = inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)
        return inspect.Signature([args, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])
