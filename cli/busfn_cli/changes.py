"""Telling when the code in a folder has changed, from a moment on that lies before the watch begins."""

from __future__ import annotations

import os
from collections.abc import Iterator

from watchfiles import Change, PythonFilter, watch

LOOK_EVERY = 250
"""Milliseconds after which a watch says that nothing has changed; the first time, that it has begun."""


def changes(directory: str, since: float) -> Iterator[None]:
    """Yields after changes of Python files; the first time also for one made after ``since`` (unix seconds).

    Several changes at once may yield twice. Raises `KeyboardInterrupt` on Ctrl-C.
    """
    begun = False
    for found in watch(
        directory, watch_filter=PythonFilter(), rust_timeout=LOOK_EVERY, yield_on_timeout=True, raise_interrupt=True
    ):
        missed = not begun and changed_since(directory, since)
        begun = True
        if found or missed:
            yield


def changed_since(directory: str, moment: float) -> bool:
    """Whether a Python file was written after a moment (unix seconds)."""
    wanted = PythonFilter()
    for folder, folders, files in os.walk(directory):
        folders[:] = [one for one in folders if one not in PythonFilter.ignore_dirs]
        for file in (os.path.join(folder, one) for one in files):
            if wanted(Change.modified, file) and _written(file) > moment:
                return True
    return False


def _written(file: str) -> float:
    try:
        return os.stat(file).st_mtime
    except OSError:  # it is gone again
        return 0.0
