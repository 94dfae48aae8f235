"""Which traceback frames are ours."""

from __future__ import annotations

import asyncio

import cloudpickle

import busfn
import busfn_services
from busfn.tracebacks import files_of

is_framework_file = files_of(busfn, busfn_services, asyncio, cloudpickle)
"""Whether a frame of this file belongs to busfn (or to what it runs and pickles user code with) and not to the user."""
