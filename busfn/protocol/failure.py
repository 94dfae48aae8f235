"""Exceptions as data: taken apart where they were raised, put together again where they are raised for the caller."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import TracebackType
from typing import Any, cast

from busfn import errors
from busfn.protocol.codecs import Codecs, Payload
from busfn.protocol.convert import BadCall
from busfn.protocol.frames import MOST_FRAMES
from busfn.protocol.rebuild import MEMBERS, c_base, rebuild
from busfn.protocol.shapes import is_dict, is_list

MOST_MESSAGE = 64 * 1024
MOST_TEXT = 256 * 1024
MOST_LINKED = 16
"""Causes behind causes that are carried."""
MOST_IN_ALL = 256
"""Exceptions that are carried for one: its causes, contexts and members, and theirs."""

Skip = Callable[[str], bool]
"""Tells of a file whether its frames are the framework's, not the user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One exception, as plain as its arguments are."""

    type: str
    """``module:qualname``."""
    message: str
    text: str
    """The whole traceback as text."""
    args: list[Any] = field(default_factory=list[Any])
    state: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])
    frames: list[list[Any]] = field(default_factory=list[list[Any]])
    """[file, line, function, source line] of each user frame, outermost first."""
    cause: Failure | None = None
    context: Failure | None = None
    suppress_context: bool = False
    group: list[Failure] = field(default_factory=list["Failure"])
    worker: str = ""
    whole: bool = True
    """False when arguments or attributes had to be replaced by their texts."""

    def to_value(self) -> dict[str, Any]:
        """As a value for a codec."""
        value = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("cause", "context"):
            linked: Failure | None = value[name]
            value[name] = linked.to_value() if linked else None
        value["group"] = [member.to_value() for member in self.group]
        return {name: item for name, item in value.items() if name in _NEEDED or item not in (None, "", [], {})}

    @classmethod
    def from_value(cls, value: object, depth: int = 0) -> Failure:
        """Reads `to_value`'s value; raises `ProtocolError`."""
        if not is_dict(value) or depth > 2 * MOST_LINKED:
            raise errors.ProtocolError("a failure must be an object")
        data = value
        for name, kind in _TYPES.items():
            if name in data and not isinstance(data[name], kind):
                raise errors.ProtocolError(f"a failure's `{name}` must be of type {kind.__name__}")
        if not all(isinstance(data.get(name), str) for name in _NEEDED):
            raise errors.ProtocolError("a failure must have `type`, `message` and `text`")
        known: dict[str, Any] = {name: data[name] for name in _TYPES if name in data}
        for name in ("cause", "context"):
            known[name] = cls.from_value(data[name], depth + 1) if data.get(name) is not None else None
        known["group"] = [cls.from_value(member, depth + 1) for member in known.get("group", [])]
        return cls(**known)


_NEEDED = ("type", "message", "text")
_TYPES: Mapping[str, type] = {
    "type": str, "message": str, "text": str, "args": list, "state": dict, "notes": list, "frames": list,
    "suppress_context": bool, "group": list, "worker": str, "whole": bool,
}  # fmt: skip


def capture(error: BaseException, *, skip: Skip, worker: str = "") -> Failure:
    """Take an exception apart."""
    return _Capture(skip, worker).take(error, MOST_LINKED)


def encode_failure(codecs: Codecs, error: BaseException, *, scope: str, skip: Skip, worker: str = "") -> Payload:
    """An exception for the wire: as plain data if possible, else pickled, else with texts in place of its arguments."""
    failure = capture(error, skip=skip, worker=worker)
    try:
        return codecs.encode(failure.to_value(), scope=scope, what="exception")
    except errors.SerializationError:
        return codecs.encode(_plain(failure).to_value(), scope=scope, what="exception")


def decode_failure(codecs: Codecs, payload: Payload, *, scope: str) -> BaseException:
    """The exception to raise for the caller: of the same class where that can be had, else a `RemoteError`."""
    return rebuild(Failure.from_value(codecs.decode(payload, scope=scope)))


def summary(error: BaseException) -> str:
    """Class and message in one text, whatever the error's own code does."""
    return f"{type(error).__name__}: {_message(error)}"


def error_code(error: BaseException) -> int:
    """A number in the manner of HTTP for ``Nats-Service-Error-Code``."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return 500


_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (BadCall, 400),
    (errors.ProtocolError, 400),
    (errors.NotFoundError, 404),
    (errors.FunctionTimeoutError, 408),
    (errors.RequestSizeError, 413),
    (errors.ResourceExhaustedError, 429),
    (errors.InternalFailure, 503),
    (errors.ServiceError, 503),
    (errors.ConnectionError, 503),
)


@dataclass(slots=True)
class _Capture:
    """Takes an exception apart with all that is linked to it; stops at circles and when it gets too many."""

    skip: Skip
    worker: str
    left: int = MOST_IN_ALL
    open: set[int] = field(default_factory=set[int])
    """Ids of the exceptions that are being taken apart."""

    def take(self, error: BaseException, depth: int) -> Failure:
        self.left -= 1
        self.open.add(id(error))
        summary = _user_frames(error.__traceback__, self.skip)
        args, state = _parts(error)
        cause = self._linked(error.__cause__, depth)
        members = cast("tuple[BaseException, ...]", getattr(error, "exceptions", ())) if _is_group(error) else ()
        group = [taken for member in members if (taken := self._linked(member, depth))]
        failure = Failure(
            type=f"{type(error).__module__}:{type(error).__qualname__}",
            message=_trim(_message(error), MOST_MESSAGE),
            text=_trim(_text(error, summary), MOST_TEXT),
            args=args,
            state=state,
            notes=_notes(error),
            frames=[[f.filename, f.lineno or 0, f.name, f.line or ""] for f in summary[-MOST_FRAMES:]],
            cause=cause,
            context=None if cause else self._linked(error.__context__, depth),
            suppress_context=error.__suppress_context__,
            group=group,
            worker=self.worker,
            whole=len(group) == len(members),
        )
        self.open.remove(id(error))
        return failure

    def _linked(self, error: BaseException | None, depth: int) -> Failure | None:
        if error is None or not depth or self.left <= 0 or id(error) in self.open:
            return None
        return self.take(error, depth - 1)


def _is_group(error: BaseException) -> bool:
    return isinstance(error, BaseExceptionGroup)


def _notes(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", None)
    return [_trim(_shown(str, note), MOST_MESSAGE) for note in notes] if is_list(notes) else []


def _parts(error: BaseException) -> tuple[list[Any], dict[str, Any]]:
    """What the class is rebuilt from: the arguments of the builtin class below it, and its attributes."""
    state = {name: value for name, value in vars(error).items() if name != "__notes__"}
    if isinstance(error, BaseExceptionGroup):
        return [cast("BaseExceptionGroup[BaseException]", error).message], state
    base = c_base(type(error))
    reduced = cast("tuple[Any, ...]", base.__reduce__(error))  # with OSError's file, which is not among its args
    members = {name: getattr(base, name).__get__(error) for name in MEMBERS if hasattr(base, name)}
    return list(reduced[1]), state | {name: value for name, value in members.items() if value is not None}


def _user_frames(trace: TracebackType | None, skip: Skip) -> traceback.StackSummary:
    frames = [frame for frame in traceback.extract_tb(trace) if not skip(frame.filename)]
    return traceback.StackSummary.from_list(frames)


def _text(error: BaseException, frames: traceback.StackSummary) -> str:
    lines = ["Traceback (most recent call last):\n", *frames.format()] if frames else []
    return "".join([*lines, *_last_lines(error)]).rstrip("\n")


def _last_lines(error: BaseException) -> list[str]:
    if not _is_group(error):
        return traceback.format_exception_only(error)
    # `traceback` would walk through all members of all members, each time.
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return [f"{name}: {_message(error)}\n", *(f"{note}\n" for note in _notes(error))]


def _message(error: BaseException) -> str:
    return _shown(str, error)


def _shown(show: Callable[[Any], str], value: object) -> str:
    try:
        return show(value)
    except Exception as broken:  # a user's __str__ or __repr__ may raise anything
        return f"<the {type(value).__name__}'s text failed with {type(broken).__name__}>"


def _trim(text: str, most: int) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most} characters cut)"


def _plain(failure: Failure) -> Failure:
    """The failure with texts in place of what cannot be carried; it will become a `RemoteError`."""
    values = {f.name: getattr(failure, f.name) for f in fields(failure)}
    values |= {
        "args": [_trim(_shown(repr, arg), MOST_MESSAGE) for arg in failure.args],
        "state": {},
        "cause": _plain(failure.cause) if failure.cause else None,
        "context": _plain(failure.context) if failure.context else None,
        "group": [_plain(member) for member in failure.group],
        "whole": False,
    }
    return Failure(**values)
