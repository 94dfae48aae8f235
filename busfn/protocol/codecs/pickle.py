"""cloudpickle, with the running script's own classes sent by reference, and exceptions that always arrive.

A script that runs as ``__main__`` is imported by workers under its file's name. cloudpickle would send its classes by
value, and ``isinstance`` in the worker would be False; here they are looked up under that name on the other side.

Exceptions, wherever they are in a value, are taken apart: one that cannot be pickled, or rebuilt on the other side,
would take all of the value with it.
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
from typing import Any

import cloudpickle

import busfn
from busfn.errors import DeserializationError
from busfn.protocol.codecs import msgpack
from busfn.protocol.codecs.unpacking import unpack
from busfn.protocol.exceptions.capture import Nested, capture
from busfn.protocol.exceptions.failure import MAX_PARTS, PICKLED, PLAIN, Failure
from busfn.protocol.exceptions.rebuild import rebuild
from busfn.tracebacks import files_of

PICKLE_PROTOCOL = 5

_MAIN = b"__main__"


def dumps(value: object, main_module: str = "") -> bytes:
    """Pickle a value; raises whatever the value's own pickling raises."""
    if (data := _quickly(value)) is not None:
        return data

    def take(error: BaseException) -> Failure:
        def pack(parts: object, nested: Nested) -> tuple[str, bytes]:
            return pack_parts(parts, nested, main_module)

        return capture(error, skip=files_of(busfn), pack=pack, main_module=main_module)

    out = io.BytesIO()
    _Pickler(out, main_module, take).dump(value)
    return out.getvalue()


def _quickly(value: object) -> bytes | None:
    """A pickle in a third of the time; None for what is left to cloudpickle."""
    if cloudpickle.list_registry_pickle_by_value():
        return None
    out = io.BytesIO()
    try:
        _QuickPickler(out, PICKLE_PROTOCOL).dump(value)
    except Exception:
        return None
    data = out.getvalue()
    return data if _MAIN not in data else None


def pack_parts(parts: object, nested: Nested, main_module: str = "") -> tuple[str, bytes]:
    """Arguments and attributes of an exception: the codec, and the bytes. Raises what cannot be pickled, or is larger
    than `MAX_PARTS`."""
    try:
        return PLAIN, msgpack.pack(parts)
    except msgpack.NotPlain:
        out = _Bounded()
        _Pickler(out, main_module, nested).dump(parts)
        return PICKLED, out.getvalue()


def unpack_parts(failure: Failure) -> object:
    """Reverses `pack_parts`; for failures in signed data only."""
    return unpack(failure.parts) if failure.codec != PICKLED else loads(failure.parts)


def revive(data: bytes) -> BaseException:
    """The exception of a failure; what pickles of exceptions call."""
    return rebuild(Failure.from_value(unpack(data)), unpack_parts, raised=False)


class _Bounded(io.BytesIO):
    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > MAX_PARTS:
            raise ValueError("it is too large")
        return super().write(data)


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


class _QuickPickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if issubclass(type(obj), BaseException):
            raise pickle.PicklingError("exceptions are taken apart")
        return NotImplemented


_Base: Any = cloudpickle.Pickler  # untyped


class _Pickler(_Base):  # type: ignore[misc]
    def __init__(self, out: io.BytesIO, main_module: str, take: Nested) -> None:
        base: Any = super()
        base.__init__(out, protocol=PICKLE_PROTOCOL)
        self._main_module = main_module
        self._take = take

    def reducer_override(self, obj: Any) -> Any:
        if issubclass(type(obj), BaseException):
            return revive, (msgpack.pack(self._take(obj).to_value()),)
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
