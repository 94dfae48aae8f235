"""Finding a function in the user's code."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from busfn.app import App
from busfn.client import Client
from busfn.errors import NotFoundError
from busfn.function import Function
from busfn.refs import Source, load
from busfn.spec import FunctionSpec


def load_function(spec: FunctionSpec) -> tuple[ModuleType, Callable[..., Any]]:
    """Import the module on this thread and find the function in it. Raises whatever the import raises."""
    module = load(Source.from_dict(spec.source))
    found: object = module
    for part in spec.qualname.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Function):
        return module, found.get_raw_f()
    if not callable(found):
        raise NotFoundError(f"{spec.source['target']} has no function {spec.qualname!r}")
    return module, found


def bind_apps(module: ModuleType, client: Client, raw: Callable[..., Any], token: str) -> None:
    """Let the functions of the module's apps be called from here.

    What ``raw``, the function that we serve, calls of its own app stays within its deployment, which ``token`` names:
    it may be pinned to a version, bear another name, or include the app.
    """
    for value in list(vars(module).values()):
        if isinstance(value, App):
            value.binding.client = client
            if value.name != token and _has(value, raw):
                value.binding.app = token


def _has(app: App, raw: Callable[..., Any]) -> bool:
    return any(one.app is not None and one.get_raw_f() is raw for one in app.functions.values())
