"""Choosing what to run in a module. Pure.

Module-level names count before names that only an app knows, and entrypoints before functions; the first group that has
a candidate must have exactly one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from busfn.app import App, LocalEntrypoint
from busfn.errors import InvalidError
from busfn.function import Function

AnyFunction = Function[..., Any, Any]
AnyEntrypoint = LocalEntrypoint[..., Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What is run, and the app it belongs to."""

    name: str
    app: App
    what: AnyFunction | AnyEntrypoint


def choose(namespace: Mapping[str, Any], object_path: str, shown: str) -> Target:
    """The one thing that ``object_path`` means; ``shown`` is how the user wrote the file or module.

    Raises `InvalidError` with the candidates when it means none or several.
    """
    apps = {name: value for name, value in namespace.items() if isinstance(value, App)}
    groups = [[one for one in group if _matches(one.name, object_path)] for group in _groups(namespace, apps)]
    for group in groups:
        different = {id(one.what): one for one in reversed(group)}
        if len(different) == 1:
            return group[0]
        if group:
            raise InvalidError(_ambiguous(group, object_path, shown))
    raise InvalidError(_missing(_groups(namespace, apps), apps, object_path, shown))


def _groups(namespace: Mapping[str, Any], apps: Mapping[str, App]) -> tuple[list[Target], ...]:
    named, of_apps = list(_named(namespace)), list(_of_apps(apps))
    return (
        [one for one in named if isinstance(one.what, LocalEntrypoint)],
        [one for one in named if isinstance(one.what, Function)],
        [one for one in of_apps if isinstance(one.what, LocalEntrypoint)],
        [one for one in of_apps if isinstance(one.what, Function)],
    )


def _named(namespace: Mapping[str, Any]) -> Iterator[Target]:
    for name, value in namespace.items():
        if isinstance(value, LocalEntrypoint):
            yield Target(name, value.app, cast(AnyEntrypoint, value))
        elif isinstance(value, Function) and value.app is not None:  # not one that was looked up by name
            yield Target(name, value.app, cast(AnyFunction, value))


def _of_apps(apps: Mapping[str, App]) -> Iterator[Target]:
    for app_name, app in apps.items():
        for name, entrypoint in app.entrypoints.items():
            yield Target(f"{app_name}.{name}", app, entrypoint)
        for name, function in app.functions.items():
            yield Target(f"{app_name}.{name}", app, function)


def _matches(name: str, object_path: str) -> bool:
    return not object_path or name == object_path or name.startswith(f"{object_path}.")


def _ambiguous(group: list[Target], object_path: str, shown: str) -> str:
    what = f"{object_path!r} means several things" if object_path else "there are several things to run"
    return f"{what} in {shown}. Say which one, for example\n  busfn run {shown}::{group[0].name}\n{_list(group)}"


def _missing(groups: tuple[list[Target], ...], apps: Mapping[str, App], object_path: str, shown: str) -> str:
    if not apps and not any(groups):
        return f"{shown} has no busfn.App: make one with `app = busfn.App('name')` and decorate with `@app.function()`"
    everything = [one for group in groups for one in group]
    if not everything:
        return f"{shown} has an app, but no function or local entrypoint"
    close = difflib.get_close_matches(object_path, [one.name for one in everything], 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{shown} has nothing called {object_path!r}.{hint}\n{_list(everything)}"


def _list(targets: list[Target]) -> str:
    return "There is:\n" + "\n".join(f"  {one.name}" for one in targets)
