"""What of an app workers need to know: its functions as specs, and where their code is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING

from busfn.errors import InvalidError
from busfn.refs import PICKLE, Source
from busfn.registration import MAIN
from busfn.spec import FunctionSpec

if TYPE_CHECKING:
    from busfn.app import App

LARGE_CODE = 256 << 10
"""Bytes of pickled functions above which we say so: each new worker is handed its function."""
MAX_CODE = 16 << 20
"""Bytes that the pickled functions of an app may have in all."""


def specs(app: App) -> list[FunctionSpec]:
    """The app's functions as workers need to know them; pickled ones are still to be signed (`signed`).

    Raises `InvalidError` for a function whose code workers could neither import nor be sent.
    """
    made = [_spec(app, name) for name in app.functions]
    _check_size(app, made)
    return made


def signed(given: Sequence[FunctionSpec], key: bytes | None) -> list[FunctionSpec]:
    """The same with signatures for those that are sent as pickles. Raises `InvalidError` when there is no key."""
    return [_signed(spec, key) if spec.code else spec for spec in given]


def _spec(app: App, name: str) -> FunctionSpec:
    function = app.functions[name]
    raw, options, module = function.get_raw_f(), function.options, app.registered_in[name]
    source = None if options.serialized else source_of(module)
    return FunctionSpec(
        app=app.name,
        name=name,
        origin=app.name,
        source=(source or Source(kind=PICKLE, target=_home_module(raw), directory=_folders())).to_dict(),
        code="" if source else _pickled(app, name),
        qualname=getattr(raw, "__qualname__", name),
        is_generator=function.is_generator,
        timeout=options.timeout,
        startup_timeout=options.startup_timeout or options.timeout,
        single_use_containers=options.single_use_containers,
        retries=options.retries,
        env=options.env,
        scaling=options.scaling,
    )


def _pickled(app: App, name: str) -> str:
    from busfn.serialized import dump  # which few apps need

    return base64.b64encode(dump(app.functions[name], f"{app.name}.{name}")).decode()


def sign_code(code: bytes, key: bytes) -> str:
    """The signature of a pickled function."""
    return hmac.new(key, b"busfn code\0" + code, hashlib.sha256).hexdigest()


def _signed(spec: FunctionSpec, key: bytes | None) -> FunctionSpec:
    if key is None:
        raise InvalidError(
            f"{spec.label} is sent to workers as a pickle, because they cannot import it, and pickles need a signing"
            " key: set BUSFN_SIGNING_KEY, or move the function into a file"
        )
    return replace(spec, signature=sign_code(base64.b64decode(spec.code), key))


def _check_size(app: App, made: Sequence[FunctionSpec]) -> None:
    size = sum(len(spec.code) for spec in made) * 3 // 4
    if size > MAX_CODE:
        raise InvalidError(
            f"the functions of {app!r} that are sent as pickles take {size >> 20} MiB with all that they refer to, and"
            f" may take {MAX_CODE >> 20}: load large data inside the functions, or pass it as an argument"
        )
    if size > LARGE_CODE:
        import logging

        text = "the functions of %r that are sent as pickles take %d KiB: large data is better passed as an argument"
        logging.getLogger("busfn").warning(text, app, size >> 10)


def _home_module(raw: object) -> str:
    return str(getattr(raw, "__module__", None) or MAIN)


def _folders() -> str:
    """Where code without a file imports from; workers do the same."""
    return os.pathsep.join(os.path.abspath(one) for one in sys.path)


def source_of(module_name: str) -> Source | None:
    """How a worker imports a module that is imported here; None for one that has no file to import."""
    module = sys.modules.get(module_name)
    if module is None:
        return None
    if module_name == MAIN:
        return _main_source(module)
    if module.__spec__ is None or getattr(module, "__file__", None) is None:
        return None
    file = os.path.abspath(str(module.__file__))
    root = os.path.dirname(file)
    if "." not in module_name and os.path.basename(file) == f"{module_name}.py" and os.path.isfile(file):
        return Source(kind="script", target=file, directory=root)
    depth = module_name.count(".") + (os.path.basename(file) == "__init__.py")
    for _ in range(depth):
        root = os.path.dirname(root)
    return Source(kind="module", target=module_name, directory=root)


def _main_source(module: ModuleType) -> Source | None:
    """None for ``python -c``, standard input, interactive sessions, and archives and folders with a ``__main__``."""
    spec = module.__spec__
    if spec is not None:  # python -m package.module
        return None if spec.name == MAIN else Source(kind="module", target=spec.name, directory=os.getcwd())
    file = os.path.abspath(getattr(module, "__file__", None) or "<none>")
    if not os.path.isfile(file):
        return None
    return Source(kind="script", target=file, directory=os.path.dirname(file))


def alias_main(app: App) -> str:
    """Make the running script importable under the name that workers give it, so that its classes are the same on both
    sides; returns that name, or "" when the app is not defined in the script that runs."""
    if MAIN not in app.registered_in.values():
        return ""
    main = sys.modules[MAIN]
    source = _main_source(main)
    if source is None:
        return ""
    name = source.target if source.kind == "module" else os.path.basename(source.target).removesuffix(".py")
    sys.modules.setdefault(name, main)
    return name
