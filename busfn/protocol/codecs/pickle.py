"""cloudpickle, with the running script's own classes sent by reference.

A script that runs as ``__main__`` is imported by workers under its file's name. cloudpickle would send its classes by
value, and ``isinstance`` in the worker would be False; here they are looked up under that name on the other side.
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
from typing import Any

import cloudpickle

from busfn.errors import DeserializationError

PICKLE_PROTOCOL = 5


def dumps(value: object, main_module: str = "") -> bytes:
    """Pickle a value; raises whatever the value's own pickling raises."""
    out = io.BytesIO()
    _Pickler(out, main_module).dump(value)
    return out.getvalue()


def loads(data: bytes) -> Any:
    """Unpickle. Only for data whose signature was checked: it may run any code.

    Raises `DeserializationError` when a module is missing here or the data is broken.
    """
    try:
        return pickle.loads(data)
    except ModuleNotFoundError as error:
        raise DeserializationError(
            f"the value needs the module {error.name!r}, and that module is not available in the local environment"
        ) from error
    except Exception as error:
        raise DeserializationError(f"the value could not be unpickled: {type(error).__name__}: {error}") from error


def find(module: str, qualname: str) -> Any:
    """The object with this name; what pickles of a script's own classes call."""
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


_Base: Any = cloudpickle.Pickler  # untyped


class _Pickler(_Base):  # type: ignore[misc]
    def __init__(self, out: io.BytesIO, main_module: str) -> None:
        base: Any = super()
        base.__init__(out, protocol=PICKLE_PROTOCOL)
        self._main_module = main_module

    def reducer_override(self, obj: Any) -> Any:
        if self._main_module and _lives_in_main(obj):
            return find, (self._main_module, obj.__qualname__)
        base: Any = super()
        return base.reducer_override(obj)


def _lives_in_main(obj: Any) -> bool:
    if getattr(obj, "__module__", None) != "__main__" or not isinstance(getattr(obj, "__qualname__", None), str):
        return False
    found: Any = sys.modules.get("__main__")
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj
