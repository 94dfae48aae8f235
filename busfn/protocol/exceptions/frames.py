"""Tracebacks made of frames that ran elsewhere."""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from types import CodeType, TracebackType
from typing import Any, overload

from busfn.protocol.exceptions.failure import MAX_FRAMES

MOST_LINE = 100_000
"""Highest line number that a rebuilt frame may claim."""
MOST_FILES = 256
"""Files not found here of which source lines are remembered."""
MAX_LINES = 1000
"""Lines that are remembered of one of them."""
MAX_SOURCE = 500
"""Characters of a source line."""
MAX_NAME = 1000
"""Characters of the name of a function or a file."""

_NO_COLUMNS = 13
"""Kind of an entry in a code object's table of positions that has a line but no columns."""
_UNITS = 8
"""Code units that one such entry covers at most."""

_remembered: dict[str, None] = {}


def make_traceback(frames: list[Any]) -> TracebackType | None:
    """From ``[file, line, function, source line]`` each, outermost first; what is no such list is left out."""
    trace: TracebackType | None = None
    for frame in reversed(frames[-MAX_FRAMES:]):
        match frame:
            case [str(file), int(line), str(name), str(source)] if 0 < line <= MOST_LINE:
                file = _safe(file[-MAX_NAME:])
                _remember_source(file, line, _printable(source[:MAX_SOURCE]))
                inner = _run(_code(file, line, _printable(name[:MAX_NAME])))
                trace = TracebackType(trace, inner.tb_frame, inner.tb_lasti, line)
            case _:
                continue
    return trace


def _code(file: str, line: int, name: str) -> CodeType:
    """A code object that raises in this line, and says nothing of columns, so that no caret is printed under it."""
    code = compile("raise Exception", "", "exec")
    units = len(code.co_code) // 2
    table = b"".join(_position(min(_UNITS, units - start)) for start in range(0, units, _UNITS))
    return code.replace(co_filename=file, co_name=name, co_qualname=name, co_firstlineno=line, co_linetable=table)


def _position(units: int) -> bytes:
    """An entry of the table of positions for so many code units, in the same line as before."""
    return bytes((0x80 | _NO_COLUMNS << 3 | units - 1, 0))


def _run(code: CodeType) -> TracebackType:
    try:
        exec(code, {"__name__": code.co_name})
    except Exception as error:
        trace = error.__traceback__
        if trace is not None and trace.tb_next is not None:
            return trace.tb_next
    raise AssertionError("the code raises")


def _safe(file: str) -> str:
    """A name that printing a traceback may look up: of a source file, else in angle brackets, which are never opened.

    Reading a device or a pipe that a message names would not come back.
    """
    file = _printable(file)
    if (file.startswith("<") and file.endswith(">")) or file.endswith((".py", ".pyw", ".pyx")):
        return file
    return f"<{file}>"


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _remember_source(file: str, line: int, source: str) -> None:
    """Let traceback printing find a source line of a file that is not here."""
    if not source or (file not in _remembered and (linecache.getline(file, line) or file in linecache.cache)):
        return
    known: Any = linecache.cache.get(file)
    lines = known[2] if known and isinstance(known[2], _Lines) else _Lines()
    lines.remember(line, source + "\n")
    linecache.cache[file] = (len(lines), None, lines, file)  # type: ignore[assignment]
    _remembered[file] = None
    while len(_remembered) > MOST_FILES:
        oldest = next(iter(_remembered))
        del _remembered[oldest]
        linecache.cache.pop(oldest, None)


class _Lines(Sequence[str]):
    """The few lines that are known of a file; a list would hold all those before them."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def remember(self, line: int, source: str) -> None:
        """Lines count from 1."""
        self._known[line - 1] = source
        if len(self._known) > MAX_LINES:
            del self._known[next(iter(self._known))]

    def __len__(self) -> int:
        return max(self._known, default=-1) + 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        places = range(len(self))[index]
        if isinstance(places, int):
            return self._known.get(places, "\n")
        return [self._known.get(place, "\n") for place in places]
