"""Tracebacks as users want to see them: their own frames and nobody else's."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from types import ModuleType

from busfn.protocol.exceptions import internals
from busfn.protocol.exceptions.capture import summary

MAX_CAUSES = 50
MAX_FRAMES = 2000
MAX_TEXT = 32 * 1024
"""Characters of a traceback; a worker that cannot start sends it in one line to its supervisor."""

Skip = Callable[[str], bool]
"""Tells of a file whether its frames are left out."""


def files_of(*packages: ModuleType) -> Skip:
    """Recognises the files of packages, and those of the import system."""
    folders = tuple(os.path.dirname(os.path.abspath(package.__file__ or "")) + os.sep for package in packages)

    def skip(file: str) -> bool:
        return file.startswith((*folders, "<frozen "))

    return skip


def user_traceback(error: BaseException, skip: Skip) -> str:
    """The error as Python prints it, without the frames to skip; just class and message when none is left.

    Never raises, whatever the error does; of a text longer than `MAX_TEXT` characters the middle is left out.
    """
    try:
        end = _far_below(error)
        with internals.unlinked(end) if end else nullcontext():
            found = traceback.TracebackException.from_exception(error, limit=-MAX_FRAMES)
        _filter(found, skip)
        text = "".join(found.format()).strip()
    except BaseException:  # an error's own code, asked for texts and attributes, may raise anything
        text = summary(error)
    return _bounded(text.encode("utf-8", "backslashreplace").decode())


def _far_below(error: BaseException) -> BaseException | None:
    """The exception behind so many causes and contexts that what is below it is left out."""
    below: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if below is None:
            return None
        below = internals.link_of(below, "__cause__") or internals.link_of(below, "__context__")
    return below


def _bounded(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2
    return f"{text[:half]}\n... ({len(text) - MAX_TEXT} characters cut)\n{text[-half:]}"


def _filter(summary: traceback.TracebackException, skip: Skip) -> None:
    kept = [frame for frame in summary.stack if not skip(frame.filename)]
    summary.stack = traceback.StackSummary.from_list(kept)
    for linked in (summary.__cause__, summary.__context__, *(summary.exceptions or ())):
        if linked is not None:
            _filter(linked, skip)
