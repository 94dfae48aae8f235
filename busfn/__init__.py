"""busfn: Python functions as NATS services."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from busfn import errors
    from busfn.app import App, LocalEntrypoint
    from busfn.call import FunctionCall
    from busfn.context import current_function_call_id, current_input_id, is_local
    from busfn.function import Function
    from busfn.invoke.graph import InputInfo, InputStatus
    from busfn.spec import Retries

__version__ = "0.1.0"

__all__ = [
    "App",
    "Function",
    "FunctionCall",
    "InputInfo",
    "InputStatus",
    "LocalEntrypoint",
    "Retries",
    "__version__",
    "current_function_call_id",
    "current_input_id",
    "errors",
    "is_local",
]

_HOMES = {
    "App": "busfn.app",
    "Function": "busfn.function",
    "FunctionCall": "busfn.call",
    "InputInfo": "busfn.invoke.graph",
    "InputStatus": "busfn.invoke.graph",
    "LocalEntrypoint": "busfn.app",
    "Retries": "busfn.spec",
    "current_function_call_id": "busfn.context",
    "current_input_id": "busfn.context",
    "is_local": "busfn.context",
}


if not TYPE_CHECKING:  # a checker shall see the names above, and complain about others

    def __getattr__(name: str) -> object:
        """Import names on first use: a process that only starts another one should not pay for all of busfn."""
        if name == "errors":
            return importlib.import_module("busfn.errors")
        if name not in _HOMES:
            raise AttributeError(f"module 'busfn' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
