"""An exception from a `Failure`: the same class where it is known here, with the remote frames in its traceback.

Nothing is imported and nothing of an exception class written in Python is run for it but ``__str__``, unless its parts
came in a signed pickle: a class is taken from the modules that are loaded already, and filled in from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

from busfn.errors import RemoteError
from busfn.protocol.exceptions import internals
from busfn.protocol.exceptions.capture import plausible
from busfn.protocol.exceptions.failure import PICKLED, Failure
from busfn.protocol.exceptions.frames import make_traceback
from busfn.protocol.shapes import is_dict, is_list

Unpack = Callable[[Failure], object]
"""Decodes the arguments and attributes of a failure; raises when they cannot be read or trusted."""

_ENDINGS = (StopIteration, StopAsyncIteration)
"""Raised in a caller's generator or coroutine these would end it, not report a failure."""


def rebuild(failure: Failure, unpack: Unpack, *, raised: bool = True) -> BaseException:
    """The exception to raise; when it is not to be ``raised`` it may be one that would end the caller, too."""
    return _Rebuild(unpack, raised).rebuild(failure)


@dataclass(frozen=True, slots=True)
class _Rebuild:
    unpack: Unpack
    raised: bool

    def rebuild(self, failure: Failure) -> BaseException:
        try:
            error = self._same_class(failure)
        except internals.USERS_FAULTS:  # the class is not what it was there: its text is all we can have
            error = None
        if error is None:
            error = _remote_error(failure)
        if failure.notes:
            internals.dict_of(error)["__notes__"] = list(failure.notes)
        for name, linked in (("__cause__", failure.cause), ("__context__", failure.context)):
            if linked is not None:
                internals.set_link(error, name, self.rebuild(linked))
        internals.set_link(error, "__suppress_context__", failure.suppress_context)
        internals.set_link(error, "__traceback__", make_traceback(failure.frames))
        return error

    def _same_class(self, failure: Failure) -> BaseException | None:
        if not failure.parts:
            return None
        parts = self.unpack(failure)
        made = is_dict(parts) and failure.codec == PICKLED
        error = self._made(parts) if made else self._filled(failure, parts)
        if error is None or (isinstance(error, SyntaxError) and not plausible(error)):
            return None
        str(error)
        return error

    def _filled(self, failure: Failure, parts: object) -> BaseException | None:
        if not is_list(parts) or len(parts) not in (2, 3) or not is_list(parts[0]) or not is_dict(parts[1]):
            return None
        args, state = parts[0], parts[1]
        kind = cast(object, parts[2]) if len(parts) == 3 else internals.find_class(failure.type)
        if not self._may_be(kind):
            return None
        members = [[self.rebuild(member) for member in failure.group]] if internals.is_group(kind) else []
        error = internals.build(kind, [*args, *members])
        for name, value in state.items():
            if isinstance(name, str):
                internals.set_attribute(error, name, value)
        return error

    def _made(self, parts: Any) -> BaseException | None:
        """By what the class's own ``__reduce__`` has given; in a signed pickle only."""
        made: object = parts["make"](*parts["args"])
        if not isinstance(made, BaseException) or not self._may_be(type(made)):
            return None
        if parts["state"] is not None:
            cast(Any, made).__setstate__(parts["state"])
        return made

    def _may_be(self, kind: object) -> TypeGuard[type[BaseException]]:
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            return False
        if not self.raised:
            return True
        # Not even BaseException: sys.exit() in a body must not end the caller.
        return issubclass(kind, (Exception, internals.GROUP)) and not issubclass(kind, _ENDINGS)


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
