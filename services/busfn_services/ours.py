"""Which traceback frames are ours."""

from __future__ import annotations

import os

import busfn
import busfn_services

_OURS = tuple(os.path.dirname(os.path.abspath(package.__file__)) + os.sep for package in (busfn, busfn_services))


def is_framework_file(file: str) -> bool:
    """Whether a frame of this file belongs to busfn and not to the user."""
    return file.startswith(_OURS)
