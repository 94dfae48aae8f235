"""Tracebacks as users want to see them: their own frames and nobody else's."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from types import ModuleType

Skip = Callable[[str], bool]
"""Tells of a file whether its frames are left out."""


def files_of(*packages: ModuleType) -> Skip:
    """Recognises the files of packages, and those of the import system."""
    folders = tuple(os.path.dirname(os.path.abspath(package.__file__ or "")) + os.sep for package in packages)

    def skip(file: str) -> bool:
        return file.startswith((*folders, "<frozen "))

    return skip


def user_traceback(error: BaseException, skip: Skip) -> str:
    """The error as Python prints it, without the frames to skip; just class and message when none is left."""
    summary = traceback.TracebackException.from_exception(error)
    _filter(summary, skip)
    return "".join(summary.format()).strip()


def _filter(summary: traceback.TracebackException, skip: Skip) -> None:
    kept = [frame for frame in summary.stack if not skip(frame.filename)]
    summary.stack = traceback.StackSummary.from_list(kept)
    for linked in (summary.__cause__, summary.__context__, *(summary.exceptions or ())):
        if linked is not None:
            _filter(linked, skip)
