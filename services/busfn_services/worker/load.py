"""Finding a function in the user's code: the one that its app registers under its name."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from busfn.app import App, seen_apps
from busfn.client import Client
from busfn.errors import InvalidError
from busfn.function import Function
from busfn.protocol.names import unpin
from busfn.refs import PICKLE, Source, load
from busfn.spec import FunctionSpec

AnyFunction = Function[..., Any, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A function with the app that has registered it."""

    function: AnyFunction
    app: App

    def bind(self, client: Client, token: str) -> None:
        """Let the app's functions be called from here.

        What the function that we serve calls of its own app stays within its deployment, which ``token`` names: it may
        be pinned to a version, or bear another name.
        """
        self.app.binding.attach(client, token if token != self.app.name else "")


def load_function(spec: FunctionSpec, key: bytes | None) -> Loaded:
    """Import the code on this thread and find the function. Raises whatever the import raises.

    Raises `InvalidError` when the code registers the function no more, which it did where its app was started.
    """
    apps: list[App] = []
    with seen_apps(apps.append):
        module = _execute(spec, key)
    name = spec.origin or unpin(spec.app)[0]
    named = [app for app in apps if app.name == name]
    having = [app for app in named if spec.name in app.functions]
    # The module may import another one that makes an app with this name.
    chosen = [app for app in having if app.registered_in[spec.name] == module] or having
    if len(chosen) != 1:
        raise InvalidError(_missing(spec, name, apps, named, having))
    return Loaded(chosen[0].functions[spec.name], chosen[0])


def _execute(spec: FunctionSpec, key: bytes | None) -> str:
    """Run the code that registers the function; returns the module's name."""
    source = Source.from_dict(spec.source)
    if source.kind != PICKLE:
        return load(source).__name__
    from busfn.serialized import restore

    folders = source.directory.split(":")
    sys.path.extend(one for one in folders if one and one not in sys.path)
    code = base64.b64decode(spec.code) if spec.code else Path(source.target).read_bytes()
    restore(code, spec.signature, key, spec.label)
    return ""


def _missing(spec: FunctionSpec, name: str, apps: Sequence[App], named: Sequence[App], having: Sequence[App]) -> str:
    where, what = spec.source["target"], spec.name
    if having:
        return f"{where} makes {len(having)} apps named {name!r} with a function {what!r}: give each a name of its own"
    if named:
        known = ", ".join(sorted({one for app in named for one in app.functions})) or "none"
        found = f"registers no function {what!r} on the app {name!r} (there is {known})"
    else:
        made = ", ".join(sorted({app.name for app in apps})) or "none"
        found = f"makes no app named {name!r} (there is {made})"
    return (
        f"a worker has imported {where}, which {found}, although it did where the app was started. Workers import the"
        " code anew: register functions in the global scope of a module, not under `if __name__ == '__main__':` or"
        " depending on arguments or variables, or send the code along with `@app.function(serialized=True)`"
    )
