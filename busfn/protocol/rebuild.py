"""An exception from a `Failure`: the same class where it is known here, with the remote frames in its traceback.

Nothing is imported and no ``__init__`` written in Python is run for it: a class is taken from the modules that are loaded
already, and filled in from outside.
"""

from __future__ import annotations

import builtins
import linecache
import sys
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any, cast

from busfn.errors import RemoteError

if TYPE_CHECKING:
    from busfn.protocol.failure import Failure

MOST_LINE = 100_000
"""Highest line number that a rebuilt frame may claim."""
MOST_FRAMES = 200


def rebuild(failure: Failure) -> BaseException:
    """The exception to raise."""
    error = _same_class(failure)
    if error is None:
        error = _remote_error(failure)
    for note in failure.notes:
        error.add_note(str(note))
    if failure.cause is not None:
        error.__cause__ = rebuild(failure.cause)
    if failure.context is not None:
        error.__context__ = rebuild(failure.context)
    error.__suppress_context__ = failure.suppress_context
    return error.with_traceback(_traceback(failure.frames))


def _same_class(failure: Failure) -> BaseException | None:
    kind = _find_class(failure.type)
    if kind is None or not failure.whole:
        return None
    try:
        if issubclass(kind, BaseExceptionGroup):
            return _group(kind, failure)
        error = _build(kind, failure.args)
        vars(error).update(failure.state)
        str(error)
    except Exception:  # the class is not what it was there: its text is all we can have
        return None
    return error


def _find_class(name: str) -> type[BaseException] | None:
    module_name, _, qualname = name.partition(":")
    found: Any = builtins if module_name == "builtins" else sys.modules.get(module_name)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type) or not issubclass(found, BaseException):
        return None
    # sys.exit() in a body must not end the caller.
    return found if issubclass(found, Exception | BaseExceptionGroup) else None


def _build(kind: type[BaseException], args: list[Any]) -> BaseException:
    if "__init__" not in _python_attributes(kind) and "__new__" not in _python_attributes(kind):
        return kind(*args)
    error = kind.__new__(kind, *args)
    error.args = tuple(args)
    return error


def _python_attributes(kind: type[BaseException]) -> set[str]:
    """Names defined by classes written in Python."""
    return {name for base in kind.__mro__ if base.__flags__ & 0x200 for name in vars(base)}


def _group(kind: type[BaseException], failure: Failure) -> BaseException:
    members = [rebuild(member) for member in failure.group]
    return cast(BaseException, cast(Any, kind)(failure.args[0], members))


def _remote_error(failure: Failure) -> RemoteError:
    name = failure.type.partition(":")[2] or failure.type
    hint = "the body called sys.exit: " if name == "SystemExit" else ""
    return RemoteError(f"{hint}{name}: {failure.message}\n\nThe remote traceback:\n{failure.text}")


def _traceback(frames: list[list[Any]]) -> TracebackType | None:
    """Remote frames as a traceback, made of tiny code objects with the right names and lines."""
    trace: TracebackType | None = None
    for frame in reversed(frames[-MOST_FRAMES:]):
        if len(frame) != 4:
            continue
        file, line, name, source = str(frame[0]), frame[1], str(frame[2]), str(frame[3])
        if not isinstance(line, int) or not 0 < line < MOST_LINE:
            continue
        _remember_source(file, line, source)
        trace = TracebackType(trace, _frame(file, line, name), 0, line)
    return trace


def _frame(file: str, line: int, name: str) -> Any:
    code: CodeType = compile("\n" * (line - 1) + "raise Exception", file, "exec").replace(co_name=name, co_qualname=name)
    try:
        exec(code, {"__name__": name})
    except Exception as error:
        assert error.__traceback__ is not None
        assert error.__traceback__.tb_next is not None
        return error.__traceback__.tb_next.tb_frame


def _remember_source(file: str, line: int, source: str) -> None:
    """Let traceback printing find a source line of a file that is not here."""
    if not source or linecache.getline(file, line):
        return
    known = linecache.cache.get(file)
    lines = list(known[2]) if known is not None and len(known) == 4 else []
    lines.extend(["\n"] * (line - len(lines)))
    lines[line - 1] = source + "\n"
    linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
