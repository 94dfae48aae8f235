"""From annotations to forms."""

from __future__ import annotations

import collections
import collections.abc as abc
import dataclasses
import enum
import types
import typing
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, cast

from busfn.protocol.forms.containers import Entries, Fields, Items, NamedTuple, Tuple, unmade
from busfn.protocol.forms.form import ANYTHING, Form, Named, Union
from busfn.protocol.forms.hints import Unresolved, fields_of, meaning, substitute, wrappers
from busfn.protocol.forms.records import Field, Model, Record, is_pydantic
from busfn.protocol.forms.scalars import (
    Binary,
    Choice,
    Instance,
    Member,
    Number,
    Scalar,
    Subclass,
    Text,
    Whole,
    path_form,
    text_forms,
)
from busfn.protocol.shapes import inherits, is_dataclass


def form_of(hint: Any) -> Form:
    """What an annotation asks for."""
    return Builder().form(hint)


class Builder:
    """Makes forms; those of classes and aliases once, so that they may hold themselves."""

    def __init__(self) -> None:
        self._named: dict[Any, Named] = {}

    def form(self, hint: Any) -> Form:
        """What an annotation asks for."""
        hint = meaning(hint)
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if isinstance(hint, Unresolved) or hint is Any or hint is object:
            return ANYTHING
        if type(origin or hint).__name__ == "TypeAliasType":
            return self._alias(hint, origin or hint, args)
        if origin in (typing.Union, types.UnionType):
            return Union([self.form(arg) for arg in args])
        if origin is typing.Literal:
            return Choice(args)
        kind = type(None) if hint is None else origin or hint
        return self._class(hint, kind, args) if isinstance(kind, type) else ANYTHING

    def _class(self, hint: Any, kind: type, args: tuple[Any, ...]) -> Form:
        for table in (_SCALARS, _TEXTS):
            if kind in table:
                return table[kind]
        if kind is tuple:
            return self._tuple(hint, args)
        if kind in _LISTS:
            return Items(_LISTS[kind], self.form(args[0]) if args else ANYTHING)
        if kind in _MAPPINGS:
            return self._mapping(kind, args)
        return self._named_class(hint, kind, args)

    def _alias(self, hint: Any, alias: Any, args: tuple[Any, ...]) -> Form:
        """Of a `type` statement."""
        environment = dict(zip(alias.__type_params__, args, strict=False))
        return self._once(hint, alias.__name__, lambda: self.form(substitute(alias.__value__, environment)))

    def _named_class(self, hint: Any, kind: type, args: tuple[Any, ...]) -> Form:
        if kind is hint or _is_record(kind):
            return self._once(hint, kind.__name__, lambda: self._own_class(hint, kind, args))
        return self._own_class(hint, kind, args)

    def _once(self, hint: Any, name: str, make: Callable[[], Form]) -> Form:
        if not _is_hashable(hint):
            return make()
        named = self._named.get(hint)
        if named is None:
            named = self._named[hint] = Named(name)
            named.target = make()
        return named

    def _own_class(self, hint: Any, kind: type[Any], args: tuple[Any, ...]) -> Form:
        if inherits(kind, enum.Enum):
            return Member(kind)
        if is_pydantic(kind):
            return Model(hint, kind)
        if is_dataclass(kind):
            return self._dataclass(kind, args)
        if hasattr(kind, "__attrs_attrs__"):
            return self._attrs(kind, args)
        if inherits(kind, tuple) and hasattr(kind, "_field_defaults"):
            hints = fields_of(kind, args)
            names = cast("tuple[str, ...]", cast(Any, kind)._fields)
            return NamedTuple(kind, [self.form(hints.get(name, Any)) for name in names])
        if _is_typed_dict(kind):
            return self._typed_dict(kind, args)
        if inherits(kind, PurePath):
            return path_form(kind)
        return _plain_class(hint, kind)

    def _tuple(self, hint: Any, args: tuple[Any, ...]) -> Form:
        if not args:
            return Tuple((), ANYTHING) if hint in (tuple, typing.Tuple) else Tuple(())  # noqa: UP006
        if len(args) == 2 and args[1] is Ellipsis:
            return Tuple((), self.form(args[0]))
        for i, arg in enumerate(args):
            if (unpacked := unpacked_of(arg)) is not None:
                inner = typing.get_args(unpacked)
                if typing.get_origin(unpacked) is tuple and inner[1:] != (Ellipsis,):
                    return self._tuple(None, (*args[:i], *inner, *args[i + 1 :]))
                middle = self.form(inner[0]) if typing.get_origin(unpacked) is tuple else ANYTHING
                return Tuple(self._each(args[:i]), middle, self._each(args[i + 1 :]))
        return Tuple(self._each(args))

    def _each(self, hints: tuple[Any, ...]) -> list[Form]:
        return [self.form(hint) for hint in hints]

    def _mapping(self, kind: type, args: tuple[Any, ...]) -> Form:
        if kind is collections.Counter:
            args = (*(args or (Any,)), int)
        key, item = args if len(args) == 2 else (Any, Any)
        make = _MAPPINGS[kind]
        if kind is collections.defaultdict:
            factory = typing.get_origin(item) or item
            usual = factory if factory in (list, dict, set, int, float, str, bool, tuple) else None
            return Entries(lambda made: collections.defaultdict(usual, made), self.form(key), self.form(item))
        return Entries(make, self.form(key), self.form(item))

    def _dataclass(self, kind: Any, args: tuple[Any, ...]) -> Form:
        hints = fields_of(kind, args)
        shown = {field.name: field for field in dataclasses.fields(kind)}
        accepted: list[Field] = []
        for name, field in cast("dict[str, Any]", kind.__dataclass_fields__).items():
            hint = hints.get(name, Any)
            if not field.init or (name not in shown and not _is_init_only(hint)):  # the latter is a ClassVar
                continue
            missing = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            hint = cast(Any, hint).type if isinstance(hint, dataclasses.InitVar) else hint
            accepted.append(Field(name, self.form(hint), missing))
        return Record(kind, accepted, [Field(name, self.form(hints.get(name, Any))) for name in shown])

    def _attrs(self, kind: Any, args: tuple[Any, ...]) -> Form:
        hints = fields_of(kind, args)
        accepted: list[Field] = []
        sent: list[Field] = []
        for one in kind.__attrs_attrs__:
            form = self.form(hints.get(one.name, Any if one.type is None else one.type))
            sent.append(Field(one.alias or one.name, form))
            if one.init:
                accepted.append(Field(one.alias or one.name, form, repr(one.default) == "NOTHING"))
        return Record(kind, accepted, sent)

    def _typed_dict(self, kind: Any, args: tuple[Any, ...]) -> Form:
        hints = fields_of(kind, args)
        hints = {**hints, **{name: hint for name, hint in kind.__annotations__.items() if name not in hints}}
        required = {name for name in hints if name in kind.__required_keys__}
        for name, hint in hints.items():
            if "NotRequired" in (words := wrappers(hint)):
                required.discard(name)
            elif "Required" in words:
                required.add(name)
        return Fields(kind.__name__, {name: self.form(hint) for name, hint in hints.items()}, frozenset(required))


def unpacked_of(hint: Any) -> Any:
    """What a ``*tuple[...]``, a ``*Ts`` or an ``Unpack[...]`` unpacks; None for everything else."""
    if getattr(hint, "__unpacked__", False):
        return typing.get_origin(hint)[typing.get_args(hint)]
    origin = typing.get_origin(hint)
    return typing.get_args(hint)[0] if getattr(origin, "_name", "") == "Unpack" else None


def _is_hashable(hint: Any) -> bool:
    try:
        hash(hint)
    except TypeError:  # `Annotated` with a list beside it
        return False
    return True


def _is_init_only(hint: Any) -> bool:
    return isinstance(hint, dataclasses.InitVar) or (isinstance(hint, Unresolved) and "InitVar" in hint.text)


def _is_typed_dict(kind: type) -> bool:
    return inherits(kind, dict) and hasattr(kind, "__required_keys__")


def _is_record(kind: type) -> bool:
    return is_dataclass(kind) or is_pydantic(kind) or _is_typed_dict(kind) or inherits(kind, tuple)


def _plain_class(hint: Any, kind: type) -> Form:
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name in _ADDRESSES:
        return Text(
            kind, kind, {"type": "string", "format": _ADDRESSES[name]} if _ADDRESSES[name] else {"type": "string"}
        )
    if getattr(kind, "_is_protocol", False):
        return ANYTHING
    for base, form in _BASES.items():
        if issubclass(kind, base):
            return Subclass(kind, form)
    return Instance(kind, kind.__name__)


_SCALARS: dict[Any, Form] = {
    type(None): Scalar(type(None), "null", {"type": "null"}),
    bool: Scalar(bool, "true or false", {"type": "boolean"}),
    str: Scalar(str, "text", {"type": "string"}),
    int: Whole(), float: Number(), bytes: Binary(bytes), bytearray: Binary(bytearray), memoryview: Binary(memoryview),
}  # fmt: skip
_TEXTS: dict[Any, Form] = dict(text_forms())
_LISTS: dict[Any, Callable[[list[Any]], Any]] = {
    list: list, set: set, frozenset: frozenset, collections.deque: collections.deque,
    abc.Sequence: list, abc.MutableSequence: list, abc.Collection: list, abc.Iterable: list, abc.Container: list,
    abc.Reversible: list, abc.Iterator: iter, abc.Set: set, abc.MutableSet: set, abc.Generator: unmade,
    abc.AsyncIterable: unmade, abc.AsyncIterator: unmade, abc.AsyncGenerator: unmade,
}  # fmt: skip
"""Those that cannot be made are what generator functions say of their items."""
_MAPPINGS: dict[Any, Callable[[dict[Any, Any]], Any]] = {
    dict: dict, abc.Mapping: dict, abc.MutableMapping: dict, collections.OrderedDict: collections.OrderedDict,
    collections.Counter: collections.Counter, collections.defaultdict: dict, collections.ChainMap: collections.ChainMap,
    types.MappingProxyType: types.MappingProxyType,
}  # fmt: skip
_BASES: dict[type, Form] = {
    str: _SCALARS[str], int: _SCALARS[int], float: _SCALARS[float], bytes: _SCALARS[bytes], list: Items(list, ANYTHING),
    set: Items(set, ANYTHING), frozenset: Items(frozenset, ANYTHING), tuple: Items(tuple, ANYTHING),
    dict: Entries(dict, ANYTHING, ANYTHING),
}  # fmt: skip
_ADDRESSES = {
    "ipaddress.IPv4Address": "ipv4", "ipaddress.IPv6Address": "ipv6", "ipaddress.IPv4Network": "",
    "ipaddress.IPv6Network": "", "ipaddress.IPv4Interface": "", "ipaddress.IPv6Interface": "",
}  # fmt: skip
