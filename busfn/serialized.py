"""Functions as pickles, for code that workers cannot import: interactive sessions, ``python -c``, closures.

A pickle holds a function's handle with all that the function refers to: other handles, and apps, which are only names.
The worker rebuilds the handles, so that a function may call others of its app. A line in front names the Python that
made it.
"""

from __future__ import annotations

import hmac
import io
import pickle
import pickletools
import sys
from collections.abc import Sequence
from typing import Any, cast

import cloudpickle

from busfn.app import App
from busfn.binding import Home
from busfn.errors import AuthError, DeserializationError, InvalidError
from busfn.function import Definition, Function
from busfn.protocol.names import Target
from busfn.registration import MAIN
from busfn.sources import sign_code
from busfn.spec import Options

AnyFunction = Function[..., Any, Any]

_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def dump(function: AnyFunction, what: str) -> bytes:
    """The function as bytes. Raises `InvalidError` when something that it refers to cannot be pickled."""
    out = io.BytesIO()
    try:
        _Pickler(out).dump(function)
    except Exception as error:  # pickling runs the code of values, which may raise anything
        raise InvalidError(
            f"{what} has to be sent to workers as a pickle, and something that it refers to cannot be pickled:"
            f" {error}. Make it inside the function, or define the function in a file that workers can import"
        ) from error
    return f"{_PYTHON}\n".encode() + out.getvalue()


def restore(code: bytes, signature: str, key: bytes | None, what: str) -> AnyFunction:
    """The function in `dump`'s bytes. Runs their code, so only after the signature was checked.

    Raises `AuthError` for a signature that is not ours, `DeserializationError` for code that cannot be read here.
    """
    if key is None or not hmac.compare_digest(signature.encode(), sign_code(code, key).encode()):
        raise AuthError(f"the code of {what} was signed with another key than this worker's, so it is not run")
    python, _, body = code.partition(b"\n")
    if python.decode() != _PYTHON:
        raise DeserializationError(
            f"{what} was sent as a pickle by Python {python.decode()}, and its worker runs {_PYTHON}: pickled code"
            " needs the same version, a function in a file does not"
        )
    try:
        return cast(AnyFunction, _Unpickler(io.BytesIO(body)).load())
    except (ModuleNotFoundError, AttributeError, pickle.UnpicklingError) as error:
        raise DeserializationError(f"the code of {what} needs what its worker does not have: {error}") from error


def modules(code: bytes) -> list[str]:
    """The users' modules that a pickle imports: all that are imported here and whose name is among its texts."""
    texts = {argument for _, argument, _ in pickletools.genops(code.partition(b"\n")[2]) if isinstance(argument, str)}
    ours = {"busfn", "cloudpickle", MAIN, *sys.stdlib_module_names}
    return sorted(text for text in texts if text in sys.modules and text.partition(".")[0] not in ours)


class _AppName:
    """Stands for the app with this name, of those that serve a function."""

    def __init__(self, name: str) -> None:
        self.name = name


_Base: Any = cloudpickle.Pickler  # untyped


class _Pickler(_Base):  # type: ignore[misc]
    """cloudpickle, with handles as parts of the code. As arguments of calls they are names, to be looked up."""

    def persistent_id(self, obj: Any) -> str | None:
        return obj.name if isinstance(obj, App | _AppName) else None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Function) and obj.app is not None:
            return _reduced(cast(AnyFunction, obj), obj.app)
        base: Any = super()
        return base.reducer_override(obj)


class _Unpickler(pickle.Unpickler):
    """Makes each app that the code names once."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._apps: dict[str, App] = {}

    def persistent_load(self, pid: Any) -> App:
        if pid not in self._apps:
            self._apps[pid] = App(pid)
        return self._apps[pid]


def _reduced(function: AnyFunction, app: App) -> tuple[Any, ...]:
    """An empty handle first, its function later: the function may refer to the handle."""
    servers = [_AppName(name) for name in function.served_by]
    state = (function.get_raw_f(), app, function.options, function.is_generator, servers)
    return _empty, (function.name,), state, None, None, _fill


def _empty(name: str) -> AnyFunction:
    return Function(name, [])


def _fill(function: AnyFunction, state: tuple[Any, App, Options, bool, Sequence[App]]) -> None:
    raw, app, options, is_generator, servers = state
    homes = [Home(one.binding, Target(one.name, function.name)) for one in servers]
    function.define(homes, Definition(app, raw, options, is_generator))
    for one in servers:
        one.functions[function.name] = function
        one.registered_in[function.name] = ""
