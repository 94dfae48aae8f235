"""Reads and writes the parts of exceptions past whatever their classes define, which may raise or lie."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import MemberDescriptorType
from typing import Any, cast

GROUP: type[BaseException] = BaseExceptionGroup
USERS_FAULTS = (Exception, SystemExit, GeneratorExit)
"""What users' code may raise while it is asked for a text or an attribute. Not what interrupts a body from outside."""

_HEAP_TYPE = 1 << 9
_BASE = vars(BaseException)
_QUALNAME = vars(type)["__qualname__"]
_NOT_CARRIED = frozenset({"obj", "name_from"})
"""``obj`` may be anything and large; printing an `ImportError` with ``name_from`` imports the module it names."""


def dict_of(error: BaseException) -> dict[str, Any]:
    """Its ``__dict__``."""
    return cast("dict[str, Any]", _BASE["__dict__"].__get__(error))


def link_of(error: BaseException, name: str) -> Any:
    """Its ``__cause__``, ``__context__``, ``__traceback__`` or ``__suppress_context__``."""
    return _BASE[name].__get__(error)


def set_link(error: BaseException, name: str, value: object) -> None:
    """Sets one of those; also of a class that refuses assignments, as frozen dataclasses do."""
    _BASE[name].__set__(error, value)


@contextmanager
def unlinked(error: BaseException) -> Generator[None]:
    """Meanwhile it has no cause and no context."""
    links = [(name, link_of(error, name)) for name in ("__cause__", "__context__", "__suppress_context__")]
    set_link(error, "__cause__", None)
    set_link(error, "__context__", None)
    try:
        yield
    finally:
        for name, value in links:
            set_link(error, name, value)


def is_group(kind: type) -> bool:
    return issubclass(kind, GROUP)


def members_of(error: BaseException) -> tuple[BaseException, ...]:
    """The exceptions in a group."""
    return vars(GROUP)["exceptions"].__get__(error) if is_group(type(error)) else ()


def args_of(error: BaseException) -> list[Any]:
    """What the builtin class below it was made with."""
    if is_group(type(error)):
        return [vars(GROUP)["message"].__get__(error)]
    reduced = cast("tuple[Any, ...]", c_base(type(error)).__reduce__(error))
    return list(reduced[1])  # with OSError's file, which is not among its args


def attributes_of(error: BaseException, fresh: BaseException | None) -> dict[str, Any]:
    """Its attributes: in ``__slots__``, in members of builtin classes unless a ``fresh`` one has them, and others."""
    state: dict[str, Any] = {}
    for kind in reversed(type(error).__mro__):
        if kind in (object, BaseException, GROUP):
            continue
        for name, member in vars(kind).items():
            if isinstance(member, MemberDescriptorType) and name not in _NOT_CARRIED:
                state |= _value_of(member, error, None if kind.__flags__ & _HEAP_TYPE else fresh)
    named = {name: value for name, value in dict_of(error).items() if isinstance(cast(object, name), str)}
    named.pop("__notes__", None)
    return state | named


def _value_of(member: MemberDescriptorType, error: BaseException, fresh: BaseException | None) -> dict[str, Any]:
    try:
        value = member.__get__(error)
    except AttributeError:  # a slot that was not filled
        return {}
    return {} if fresh is not None and member.__get__(fresh) is value else {member.__name__: value}


def set_attribute(error: BaseException, name: str, value: object) -> None:
    """Sets an attribute in its slot or member, else in its ``__dict__``; a member that refuses the value keeps its
    own."""
    for kind in type(error).__mro__:
        member = vars(kind).get(name)
        if isinstance(member, MemberDescriptorType):
            if kind is not BaseException and name not in _NOT_CARRIED:
                _set_member(member, error, value)
            return
    if name != "__notes__":
        dict_of(error)[name] = value


def _set_member(member: MemberDescriptorType, error: BaseException, value: object) -> None:
    try:
        member.__set__(error, value)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return


def c_base(kind: type[BaseException]) -> type[BaseException]:
    """The nearest base that is not written in Python: what keeps the arguments."""
    return next(base for base in kind.__mro__ if not base.__flags__ & _HEAP_TYPE)


def build(kind: type[BaseException], args: list[Any]) -> BaseException:
    """One of this class, without running an initializer that is written in Python."""
    base = c_base(kind)
    error = base.__new__(kind, *args)
    base.__init__(error, *args)
    return error


def reduces_itself(kind: type[BaseException]) -> bool:
    """Whether the class says itself how to pickle it."""
    return any(name in vars(above) for above in _above(kind) for name in ("__reduce__", "__reduce_ex__"))


def _above(kind: type[BaseException]) -> Iterator[type]:
    base = c_base(kind)
    for one in kind.__mro__:
        if one is base:
            return
        yield one


def name_of(kind: type) -> str:
    """``module:qualname``."""
    module = type.__getattribute__(kind, "__module__")
    return f"{module if isinstance(module, str) else '?'}:{_QUALNAME.__get__(kind)}"


def find_class(name: str) -> type[BaseException] | None:
    """The exception class of this name, in the modules that are loaded; nothing is imported for it."""
    module_name, _, qualname = name.partition(":")
    found: object = builtins if module_name == "builtins" else sys.modules.get(module_name)
    for part in qualname.split("."):
        # Not getattr: a module's own `__getattr__` may import more, or raise anything.
        namespace = type.__getattribute__ if isinstance(found, type) else object.__getattribute__
        found = None if found is None else cast("dict[str, object]", namespace(cast(Any, found), "__dict__")).get(part)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
