"""Names of apps and functions: which there may be, and what calls are addressed to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from busfn.errors import InvalidError
from busfn.protocol.border import is_number

MAX_VERSION = 999_999_999

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_RULE = "use 1 to 64 letters, digits, `-` and `_`, because it is a part of NATS subjects, where dots separate parts"
_RUN = re.compile(r"run-[0-9a-f]{1,32}\Z")
_FUNCTION = re.compile(r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64})?")
_APP_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}(@([0-9]{1,9}|run-[0-9a-f]{1,32}))?")


@dataclass(frozen=True, slots=True)
class Target:
    """A function to be called."""

    app: str
    function: str

    @property
    def label(self) -> str:
        return f"{self.app}.{self.function}"


def validate_name(name: object, what: str) -> str:
    """The name, or `InvalidError` saying what is allowed."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise InvalidError(f"{name!r} is no {what} name: {_RULE}{_instead(name)}")
    return name


def _instead(name: object) -> str:
    """A name that is like this one and may be used."""
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:64] if isinstance(name, str) else ""
    return f"; for example {kept!r}" if kept else ""


def validate_function_name(name: object) -> str:
    """A function's name, or ``Class.method``; `InvalidError` for anything else."""
    if not isinstance(name, str):
        raise InvalidError(f"{name!r} is no function name: it must be text")
    parts = name.split(".")
    if len(parts) > 2:
        raise InvalidError(f"{name!r} is no function name: at most one dot, as in `Class.method`")
    for part in parts:
        validate_name(part, "function")
    return name


def pinned(app: str, version: int) -> str:
    """The app's token in subjects for those who insist on a version."""
    return f"{app}@{version}"


def run_token(app: str, run: str) -> str:
    """The token in subjects of a run that is an app of its own, because others have the app's name."""
    return f"{app}@run-{run}"


def is_run_token(token: str) -> bool:
    """Whether a token is that of a run."""
    return "@run-" in token


def unpin(token: str) -> tuple[str, int]:
    """App and version of such a token; version 0 for a plain app."""
    app, _, version = token.partition("@")
    return app, int(version) if is_number(version, MAX_VERSION) else 0


def validate_token(token: str) -> str:
    """An app's name, with ``@N`` or ``@run-ID`` behind it, or `InvalidError`."""
    app, at, rest = token.partition("@")
    validate_name(app, "app")
    if at and not (rest.isascii() and rest.isdigit()) and not _RUN.match(rest):
        raise InvalidError(f"{token!r} is no app: behind `@` comes a version, or the id of a run")
    return token


def is_app_token(text: str) -> bool:
    """Whether it may stand for an app in a subject: its name, or what `pinned` gives."""
    return _APP_TOKEN.fullmatch(text) is not None


def is_function_name(text: str) -> bool:
    """Whether `validate_function_name` takes it."""
    return _FUNCTION.fullmatch(text) is not None
