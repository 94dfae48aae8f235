"""What of an app workers need to know: its functions as specs, and where their code is."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from busfn.errors import InvalidError
from busfn.refs import Source
from busfn.spec import FunctionSpec

if TYPE_CHECKING:
    from busfn.app import App


def specs(app: App) -> list[FunctionSpec]:
    """The app's functions as workers need to know them."""
    return [_spec(app, name) for name in app.functions]


def _spec(app: App, name: str) -> FunctionSpec:
    function = app.functions[name]
    raw, options = function.get_raw_f(), function.options
    return FunctionSpec(
        app=app.name,
        name=name,
        source=source_of(raw.__module__).to_dict(),
        qualname=raw.__qualname__,
        is_generator=function.is_generator,
        timeout=options.timeout,
        startup_timeout=options.startup_timeout or options.timeout,
        single_use_containers=options.single_use_containers,
        retries=options.retries,
        env=options.env,
        scaling=options.scaling,
    )


def source_of(module_name: str) -> Source:
    """How a worker imports a module that is imported here."""
    module = sys.modules[module_name]
    if module_name == "__main__":
        return _main_source(module)
    if module.__file__ is None:
        raise InvalidError(f"module {module_name} has no file that workers could import")
    file = os.path.abspath(module.__file__)
    root = os.path.dirname(file)
    if "." not in module_name and os.path.basename(file) == f"{module_name}.py":
        return Source(kind="script", target=file, directory=root)
    depth = module_name.count(".") + (os.path.basename(file) == "__init__.py")
    for _ in range(depth):
        root = os.path.dirname(root)
    return Source(kind="module", target=module_name, directory=root)


def _main_source(module: ModuleType) -> Source:
    spec = module.__spec__
    if spec is not None:  # python -m package.module
        return Source(kind="module", target=spec.name, directory=os.getcwd())
    if module.__file__ is None:
        raise InvalidError("functions must live in a file that workers can import, not in an interactive session")
    file = os.path.abspath(module.__file__)
    return Source(kind="script", target=file, directory=os.path.dirname(file))


def alias_main(app: App) -> str:
    """Make the running script importable under the name that workers give it, so that its classes are the same on both
    sides; returns that name, or "" when the app is not defined in the script that runs."""
    if not any(function.get_raw_f().__module__ == "__main__" for function in app.functions.values()):
        return ""
    main = sys.modules["__main__"]
    source = _main_source(main)
    name = source.target if source.kind == "module" else os.path.basename(source.target).removesuffix(".py")
    sys.modules.setdefault(name, main)
    return name
