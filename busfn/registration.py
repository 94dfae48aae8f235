"""Where code registers a function: the module whose import a worker repeats to get the same registration."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, cast

from busfn.errors import InvalidError

MAIN = "__main__"
_NESTED = "<locals>."


def importing_module(raw: object = None) -> str:
    """The module that is being executed and registers something, ``raw`` or what this is called for.

    Empty when no import repeats the registration, as in threads, in a test, or in code that was handed to `exec`.
    """
    direct = _users_frame()
    frame = direct
    while frame is not None:
        name = _executed(frame)
        if name and name != MAIN:
            return name
        if name:  # the script itself, or a launcher that runs code which it knows nothing of
            ours = getattr(raw, "__globals__", None) is frame.f_globals
            return MAIN if ours or (direct is not None and direct.f_globals is frame.f_globals) else ""
        frame = frame.f_back
    return ""


def _users_frame() -> FrameType | None:
    """The innermost frame that is not busfn's."""
    frame = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "busfn":
        frame = frame.f_back
    return frame


def _executed(frame: FrameType) -> str:
    """The module whose body this frame executes; empty for frames of functions, and for namespaces of `exec`."""
    name = frame.f_globals.get("__name__")
    if frame.f_code.co_name != "<module>" or not isinstance(name, str):
        return ""
    module = sys.modules.get(name)
    return name if module is not None and vars(module) is frame.f_globals else ""


def check_decorated(raw: Any, *, named: bool, serialized: bool) -> None:
    """Raise `InvalidError` for what cannot be a worker's function, saying what to do instead."""
    if inspect.isclass(raw):
        raise InvalidError(f"`@app.function` takes functions, and {raw.__name__} is a class")
    if not callable(raw):
        raise InvalidError(f"`@app.function` takes functions, not {type(raw).__name__}")
    qualname = getattr(raw, "__qualname__", None)
    if qualname is None:
        if not named:
            raise InvalidError(
                f"a {type(raw).__name__} has no name of its own: give it one, `app.function(name=...)(...)`"
            )
        return
    _check_place(raw, qualname, serialized)


def _check_place(raw: Callable[..., Any], qualname: str, serialized: bool) -> None:
    if "<locals>" in qualname and not serialized:
        raise InvalidError(
            f"{raw.__name__} is defined inside another function, where workers cannot find it: move it to the global"
            " scope of its module, or send its code along with `@app.function(serialized=True)`. (Of a decorator's"
            " inner function, `functools.wraps` makes the function that was decorated.)"
        )
    if _is_method(raw, qualname.rpartition(_NESTED)[2]):
        owner, _, name = qualname.rpartition(_NESTED)[2].rpartition(".")
        raise InvalidError(
            f"{owner}.{name} is a method, and a worker has no object to call it on: move it out of the class, or"
            f" register it with its object: `app.function(name={name!r})({owner}().{name})` in the global scope"
        )


def _is_method(raw: object, path: str) -> bool:
    """Whether it is a plain function of a class, to be called with an object."""
    if "." not in path or not (inspect.isfunction(raw) or isinstance(raw, staticmethod | classmethod)):
        return False
    owner: object = sys.modules.get(cast(Any, raw).__module__)
    *classes, name = path.split(".")
    for part in classes:
        owner = getattr(owner, part, None)
    if not isinstance(owner, type):  # its class is being made
        return True
    return not isinstance(inspect.getattr_static(owner, name, None), staticmethod)


def default_name(raw: Any) -> str:
    """What a function is called when nothing else is said. Raises `InvalidError` for a lambda."""
    name: str = raw.__name__
    if name == "<lambda>":
        raise InvalidError("a lambda has no name: give it one, `app.function(name=...)(lambda ...)`")
    return name
