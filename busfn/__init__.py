"""busfn: Python functions as NATS services."""

from busfn import errors
from busfn.app import App, LocalEntrypoint
from busfn.context import current_function_call_id, current_input_id, is_local
from busfn.function import Function

__version__ = "0.1.0"

__all__ = [
    "App",
    "Function",
    "LocalEntrypoint",
    "__version__",
    "current_function_call_id",
    "current_input_id",
    "errors",
    "is_local",
]
