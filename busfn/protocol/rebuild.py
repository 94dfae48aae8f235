"""An exception from a `Failure`: the same class where it is known here, with the remote frames in its traceback.

Nothing is imported and nothing of an exception class written in Python is run for it but ``__str__``: a class is taken
from the modules that are loaded already, and filled in from outside.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from busfn.errors import RemoteError
from busfn.protocol.frames import make_traceback

if TYPE_CHECKING:
    from busfn.protocol.failure import Failure

MEMBERS = ("name", "path")
"""Attributes that builtin exceptions keep outside their ``__dict__`` and their arguments."""

_ENDINGS = (StopIteration, StopAsyncIteration)
"""Raised in a caller's generator or coroutine these would end it, not report a failure."""
_HEAP_TYPE = 1 << 9

_GROUP: type[BaseException] = BaseExceptionGroup


def rebuild(failure: Failure) -> BaseException:
    """The exception to raise."""
    error = _same_class(failure) or _remote_error(failure)
    if failure.notes:
        vars(error)["__notes__"] = [
            note if isinstance(note, str) else _shown(note) for note in cast("list[object]", failure.notes)
        ]
    # Not by assignment: the class may have a `__setattr__`, as frozen dataclasses do.
    if failure.cause is not None:
        object.__setattr__(error, "__cause__", rebuild(failure.cause))
    if failure.context is not None:
        object.__setattr__(error, "__context__", rebuild(failure.context))
    object.__setattr__(error, "__suppress_context__", failure.suppress_context)
    return BaseException.with_traceback(error, make_traceback(failure.frames))


def c_base(kind: type[BaseException]) -> type[BaseException]:
    """The nearest base that is not written in Python: what keeps the arguments."""
    return next(base for base in kind.__mro__ if not base.__flags__ & _HEAP_TYPE)


def _same_class(failure: Failure) -> BaseException | None:
    try:
        kind = _find_class(failure.type)
        if kind is None or not failure.whole:
            return None
        members = [[rebuild(member) for member in failure.group]] if issubclass(kind, _GROUP) else []
        error = _build(kind, [*failure.args, *members])
        for name, value in failure.state.items():
            if name != "__notes__":
                _set(error, name, value)
        str(error)
    except Exception:  # the class is not what it was there: its text is all we can have
        return None
    return error


def _find_class(name: str) -> type[BaseException] | None:
    module_name, _, qualname = name.partition(":")
    found: object = builtins if module_name == "builtins" else sys.modules.get(module_name)
    for part in qualname.split("."):
        # Not getattr: a module's own `__getattr__` may import more, or raise anything.
        namespace = type.__getattribute__ if isinstance(found, type) else object.__getattribute__
        found = None if found is None else cast("dict[str, object]", namespace(cast(Any, found), "__dict__")).get(part)
    if not isinstance(found, type) or not issubclass(found, (Exception, _GROUP)):
        return None  # not even BaseException: sys.exit() in a body must not end the caller
    return None if issubclass(found, _ENDINGS) else found


def _build(kind: type[BaseException], args: list[Any]) -> BaseException:
    base = c_base(kind)
    error = base.__new__(kind, *args)
    base.__init__(error, *args)
    return error


def _set(error: BaseException, name: str, value: object) -> None:
    base = c_base(type(error))
    if name in MEMBERS and hasattr(base, name):
        getattr(base, name).__set__(error, value)
    else:
        vars(error)[name] = value


def _remote_error(failure: Failure) -> RemoteError:
    name = failure.type.partition(":")[2] or failure.type
    hint = "the body called sys.exit: " if name == "SystemExit" else ""
    texts = "\n\n".join(_texts(failure))
    return RemoteError(f"{hint}{name}: {failure.message}\n\nThe remote traceback:\n{texts}")


def _texts(failure: Failure) -> Iterator[str]:
    yield failure.text
    for i, member in enumerate(failure.group, 1):
        for text in _texts(member):
            yield f"Exception {i} of the group:\n{text}"


def _shown(note: object) -> str:
    try:
        return repr(note)
    except ValueError:  # a number of thousands of digits
        return "<a note that cannot be shown>"
