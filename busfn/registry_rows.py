"""Rows of the registry's table, as values: read strictly, so that a bad one is noticed and set aside. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from busfn.bus.stores import Entry
from busfn.deployment import AppState, Deployment
from busfn.errors import Error, ProtocolError
from busfn.protocol.names import validate_name
from busfn.protocol.records import Count, Moment, from_plain, parse, read_record
from busfn.spec import Scaling


@dataclass(frozen=True, slots=True)
class Pin:
    """A version of an app that somebody insists on."""

    app: str
    version: int
    wanted_at: float
    """Unix seconds; 0 in one of an older busfn, which did not note it."""
    revision: int


@dataclass(frozen=True, slots=True)
class Override:
    """Scaling settings that hold for one version of a function."""

    version: Count
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of the table that cannot be read."""

    key: str
    reason: str


ENDED = b"ended"


def check_place(deployment: Deployment, app: str, version: int) -> Deployment:
    """The deployment. Raises `ProtocolError` when it was stored in the place of another one."""
    if (deployment.app, deployment.version) != (app, version):
        raise ProtocolError(
            f"version {version} of app {app!r} holds version {deployment.version} of app {deployment.app!r}:"
            " somebody has moved it, so it is not used"
        )
    return deployment


def read_state(key: str, entry: Entry) -> tuple[str, AppState]:
    """The app and its state."""
    app = validate_name(key.partition(".")[2], "app")
    return app, AppState.decode(entry.value)


def read_version(key: str, entry: Entry) -> Deployment:
    """A version, as it may be shown."""
    _, app, number = key.split(".")
    return check_place(Deployment.decode(entry.value), app, _version(number))


def read_override(key: str, entry: Entry) -> tuple[tuple[str, str], Override]:
    """The app, as subjects have it, and the function, and what is set for it."""
    _, app, function = (*key.split(".", 2), "")[:3]
    return (app, function), read_settings(entry)


def read_settings(entry: Entry) -> Override:
    """Raises `Error` for settings that no function can have."""
    read = read_record(Override, entry.value, "scaling settings")
    from_plain(Scaling, read.settings, "scaling settings")
    known = set(Scaling.__slots__)
    return Override(read.version, {name: value for name, value in read.settings.items() if name in known})


def read_pin(key: str, entry: Entry) -> Pin | None:
    """None for one that was just ended."""
    _, app, version = key.split(".")
    validate_name(app, "app")
    if entry.value == ENDED:
        return None
    wanted_at = from_plain(_Wanted, {"at": parse(entry.value or b"0", "a pin")}, "a pin").at
    return Pin(app, _version(version), wanted_at, entry.revision)


@dataclass(frozen=True, slots=True)
class _Wanted:
    at: Moment


def number_of(text: str) -> int | None:
    """A version in a key, as we write it."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 and str(int(text)) == text else None


def _version(text: str) -> int:
    number = number_of(text)
    if number is None:
        raise ProtocolError(f"{text[:50]!r} is no version")
    return number


def fault(key: str, entry: Entry, read: Callable[[str, Entry], object]) -> str:
    """Why a row cannot be read; empty when it can."""
    try:
        read(key, entry)
    except Error as error:
        return str(error)
    return ""


ROWS: Mapping[str, Callable[[str, Entry], object]] = {
    "app.*": read_state, "version.*.*": read_version, "scale.>": read_override, "pin.*.*": read_pin,
}  # fmt: skip
"""What the table holds, beside leases, by the pattern of its keys."""
