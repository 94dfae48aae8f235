"""Takes exceptions apart. Never raises because of what an exception is or does, and never gives more than `Room`."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar, cast

from busfn.protocol.exceptions import internals
from busfn.protocol.exceptions.failure import MAX_FRAMES, MAX_LINKED, MAX_MESSAGE, MAX_NOTES, MAX_TEXT, Failure, Room
from busfn.protocol.shapes import is_list

T = TypeVar("T")

Skip = Callable[[str], bool]
"""Tells of a file whether its frames are the framework's, not the user's."""
Nested = Callable[[BaseException], Failure]
"""Takes an exception apart that is held by the one that is being taken apart."""
Pack = Callable[[object, Nested], tuple[str, bytes]]
"""Encodes arguments and attributes; gives the codec and the bytes, or raises."""

MAX_NAME = 1000
MAX_LINE = 500
"""Characters of a source line."""
MAX_OFFSET = 10_000
"""Largest column of a `SyntaxError` that is printed with a marker under it."""
_MORE_FRAMES = 10 * MAX_FRAMES
"""Innermost frames of a traceback that are looked at."""


def capture(error: BaseException, *, skip: Skip, pack: Pack, worker: str = "", main_module: str = "") -> Failure:
    """Take an exception apart. ``main_module`` is the name under which others know our ``__main__``."""
    return _Capture(skip, pack, worker, main_module).take(error)


def bare(error: BaseException, worker: str = "") -> Failure:
    """The least that can be said of an exception."""
    text = summary(error)
    name = Room().trim(internals.name_of(type(error)), MAX_NAME)
    return Failure(type=name, message=text.partition(": ")[2], text=text, worker=worker)


def summary(error: BaseException) -> str:
    """Class and message in one text. Never raises, whatever the error's own code does."""
    try:
        text = _shown(error)
    except BaseException as broken:  # not from outside: no body runs any more
        text = f"<its text failed with {type(broken).__name__}>"
    return Room().trim(f"{internals.name_of(type(error)).rpartition('.')[2].rpartition(':')[2]}: {text}", MAX_MESSAGE)


def attempt(make: Callable[[], T], instead: T) -> T:
    """What ``make`` gives, or something else when it fails."""
    try:
        return make()
    except internals.USERS_FAULTS:
        return instead


@dataclass(slots=True)
class _Capture:
    """Takes an exception apart with all that is linked to it; stops at circles and when it gets too many."""

    skip: Skip
    pack: Pack
    worker: str
    main_module: str
    room: Room = field(default_factory=Room)
    open: set[int] = field(default_factory=set[int])
    """Ids of the exceptions that are being taken apart."""

    def take(self, error: BaseException) -> Failure:
        self.room.exceptions -= 1
        self.open.add(id(error))
        name = self._name(type(error))
        no_frames: list[traceback.FrameSummary] = []
        frames = attempt(lambda: _user_frames(internals.link_of(error, "__traceback__"), self.skip), no_frames)
        notes = [self.room.trim(note, MAX_MESSAGE) for note in _notes(error)]
        message = self.room.trim(_shown(error), MAX_MESSAGE)
        text = self.room.trim(_text(error, frames, message, notes), MAX_TEXT)
        cause = self._linked(internals.link_of(error, "__cause__"))
        members = internals.members_of(error)
        group = [taken for member in members[: self.room.exceptions] if (taken := self._linked(member))]
        missing = len(members) - len(group)
        codec, parts = ("", b"") if missing else attempt(lambda: self._parts(error, name), ("", b""))
        failure = Failure(
            type=self.room.trim(name, MAX_NAME),
            message=message,
            text=f"{text}\n({missing} exceptions of the group are left out)" if missing else text,
            parts=parts,
            codec=codec,
            notes=notes,
            frames=self._frames(frames),
            cause=cause,
            context=None if cause else self._linked(internals.link_of(error, "__context__")),
            suppress_context=internals.link_of(error, "__suppress_context__"),
            group=group,
            worker=self.worker,
        )
        self.open.discard(id(error))
        return failure

    def _linked(self, error: BaseException | None) -> Failure | None:
        if error is None or len(self.open) > MAX_LINKED or self.room.exceptions <= 0 or id(error) in self.open:
            return None
        return self.take(error)

    def _nested(self, error: BaseException) -> Failure:
        return self._linked(error) or bare(error)

    def _name(self, kind: type) -> str:
        module, _, qualname = internals.name_of(kind).partition(":")
        return f"{self.main_module if module == '__main__' and self.main_module else module}:{qualname}"

    def _parts(self, error: BaseException, name: str) -> tuple[str, bytes]:
        """What the class is rebuilt from; raises when that cannot be had."""
        kind = type(error)
        named = not name.startswith("__main__:") and internals.find_class(name) is kind
        try:
            args = internals.args_of(error)
            fresh = None if internals.is_group(kind) else internals.build(kind, args)
            value = [args, internals.attributes_of(error, fresh)]
            return self._packed(value if named else [*value, kind])
        except internals.USERS_FAULTS:
            if not internals.reduces_itself(kind):
                raise
            make, made_of, *state = cast("tuple[Any, ...]", error.__reduce_ex__(4))
            return self._packed({"make": make, "args": made_of, "state": state[0] if state else None})

    def _packed(self, value: object) -> tuple[str, bytes]:
        codec, parts = self.pack(value, self._nested)
        if len(parts) > self.room.parts:
            raise ValueError("arguments and attributes are too large")
        self.room.parts -= len(parts)
        return codec, parts

    def _frames(self, frames: list[traceback.FrameSummary]) -> list[list[Any]]:
        frames = frames[-min(MAX_FRAMES, self.room.frames) :] if self.room.frames else []
        self.room.frames -= len(frames)
        return [[f.filename[:MAX_NAME], f.lineno or 0, f.name[:MAX_NAME], (f.line or "")[:MAX_LINE]] for f in frames]


def _notes(error: BaseException) -> list[str]:
    notes = attempt(lambda: getattr(error, "__notes__", None), None)
    if not is_list(notes):
        return []
    shown = [_shown(note) for note in notes[:MAX_NOTES]]
    return [*shown, f"... ({len(notes) - MAX_NOTES} notes cut)"] if len(notes) > MAX_NOTES else shown


def _user_frames(trace: TracebackType | None, skip: Skip) -> list[traceback.FrameSummary]:
    return [frame for frame in traceback.extract_tb(trace, -_MORE_FRAMES) if not skip(frame.filename)]


def _text(error: BaseException, frames: list[traceback.FrameSummary], message: str, notes: list[str]) -> str:
    lines: list[str] = []
    if frames:
        cut = len(frames) - MAX_FRAMES
        lines = ["Traceback (most recent call last):\n", *([f"  ... ({cut} frames cut)\n"] if cut > 0 else [])]
        lines.extend(attempt(traceback.StackSummary.from_list(frames[-MAX_FRAMES:]).format, []))
    said = attempt(lambda: _as_python_says(error), None)
    lines.extend(said or _last_lines(error, message, notes))
    return "".join(lines).rstrip("\n")


def _as_python_says(error: BaseException) -> list[str] | None:
    """With its suggestions, and the place of a syntax error."""
    if internals.is_group(type(error)) or type(error).__module__ != "builtins" or len(_notes(error)) > MAX_NOTES:
        return None
    if isinstance(error, SyntaxError) and not plausible(error):
        return None
    with internals.unlinked(error):  # it would walk through all causes, each time
        return traceback.format_exception_only(error)


def plausible(error: SyntaxError) -> bool:
    """Whether printing it is harmless: markers are as many as its columns, which may be any numbers."""
    columns, texts = cast("list[object]", [error.offset, error.end_offset]), [error.text, error.filename]
    in_bounds = all(one is None or (isinstance(one, int) and -2 < one < MAX_OFFSET) for one in columns)
    return in_bounds and all(one is None or isinstance(one, str) for one in cast("list[object]", texts))


def _last_lines(error: BaseException, message: str, notes: list[str]) -> list[str]:
    module, _, qualname = internals.name_of(type(error)).partition(":")
    name = qualname if module in ("builtins", "__main__") else f"{module}.{qualname}"
    return [f"{name}: {message}\n" if message else f"{name}\n", *(f"{note}\n" for note in notes)]


def _shown(value: object) -> str:
    try:
        return str.__str__(str(value))  # exactly text, whatever class of text it is
    except internals.USERS_FAULTS as broken:  # a user's __str__ may raise anything
        return f"<the {type(value).__name__}'s text failed with {type(broken).__name__}>"
