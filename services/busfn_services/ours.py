"""Which traceback frames are ours."""

from __future__ import annotations

import asyncio

import busfn
import busfn_services
from busfn.tracebacks import files_of

is_framework_file = files_of(busfn, busfn_services, asyncio)
"""Whether a frame of this file belongs to busfn (or to the loop that it runs user code on) and not to the user."""
