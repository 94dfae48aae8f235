"""One exception as plain data, with all that is linked to it; bounded when it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from busfn.errors import ProtocolError
from busfn.protocol.shapes import is_dict, is_list

MAX_LINKED = 16
"""Causes behind causes, and groups in groups."""
MAX_EXCEPTIONS = 256
"""Exceptions that are carried for one: its causes, contexts and members, and theirs."""
MAX_FRAMES = 200
"""Frames of one traceback."""
MAX_FRAMES_IN_ALL = 1000
MAX_NOTES = 100
MAX_MESSAGE = 64 * 1024
"""Characters of a message, a note or a name."""
MAX_TEXT = 256 * 1024
"""Characters of the text of a traceback."""
MAX_TEXT_IN_ALL = 1024 * 1024
MAX_PARTS = 4 * 1024 * 1024
"""Bytes of arguments and attributes, of one exception with all that is in them."""

PLAIN, PICKLED = "msgpack", "pickle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One exception: texts that can always be carried, and beside them what its class is rebuilt from."""

    type: str
    """``module:qualname``."""
    message: str
    text: str
    """The whole traceback as text."""
    parts: bytes = b""
    """Arguments and attributes, encoded for themselves: when they cannot be read the rest still can. Empty when they
    could not be carried."""
    codec: str = ""
    """What ``parts`` are encoded with: `PLAIN` or `PICKLED`."""
    signature: str = ""
    """Of pickled parts."""
    notes: list[str] = field(default_factory=list[str])
    frames: list[list[Any]] = field(default_factory=list[list[Any]])
    """[file, line, function, source line] of each user frame, outermost first."""
    cause: Failure | None = None
    context: Failure | None = None
    suppress_context: bool = False
    group: list[Failure] = field(default_factory=list["Failure"])
    worker: str = ""

    def to_value(self, sign: Callable[[bytes], str] | None = None) -> dict[str, Any]:
        """As a value for a codec; ``sign`` gives the signatures of pickled parts."""
        value: dict[str, Any] = {name: getattr(self, name) for name in _NEEDED}
        for name in _FIELDS:
            item = getattr(self, name)
            if item:
                value[name] = item
        for name in _LINKS:
            if name in value:
                value[name] = value[name].to_value(sign)
        if self.group:
            value["group"] = [member.to_value(sign) for member in self.group]
        if sign is not None and self.codec == PICKLED:
            value["signature"] = sign(self.parts)
        return value

    @classmethod
    def from_value(cls, value: object) -> Failure:
        """Reads `to_value`'s value; raises `ProtocolError`. What is more than a failure may hold is left out."""
        return _Reader().read(value, MAX_LINKED)


_LINKS = ("cause", "context")
_NEEDED = ("type", "message", "text")
_FIELDS = tuple(f.name for f in fields(Failure) if f.name not in _NEEDED)
_TYPES: Mapping[str, type] = {
    "type": str, "message": str, "text": str, "parts": bytes, "codec": str, "signature": str, "notes": list,
    "frames": list, "suppress_context": bool, "group": list, "worker": str,
}  # fmt: skip


@dataclass(slots=True)
class Room:
    """What is left of the bounds of a failure, while it is made or read."""

    exceptions: int = MAX_EXCEPTIONS
    text: int = MAX_TEXT_IN_ALL
    frames: int = MAX_FRAMES_IN_ALL
    parts: int = MAX_PARTS

    def trim(self, text: str, most: int) -> str:
        """The text without lone surrogates, cut to what there is room for, and saying so."""
        most = min(most, self.text)
        if len(text) <= most and text.isascii():
            self.text -= len(text)
            return text
        cut = max(0, len(text) - most)
        text = text[:most].encode("utf-8", "backslashreplace").decode()
        self.text -= min(self.text, len(text))
        return f"{text}... ({cut} characters cut)" if cut else text


class _Reader:
    """Reads values that anybody may have sent."""

    def __init__(self) -> None:
        self._room = Room()

    def read(self, value: object, depth: int) -> Failure:
        self._room.exceptions -= 1
        data = _checked(value)
        known: dict[str, Any] = {name: data[name] for name in _TYPES if name in data}
        for name in ("type", "message", "worker"):
            known[name] = self._room.trim(known.get(name, ""), MAX_MESSAGE)
        known["text"] = self._room.trim(known["text"], MAX_TEXT)
        known["notes"] = [self._note(note) for note in known.get("notes", [])[: MAX_NOTES + 1]]
        known["frames"] = self._frames(known.get("frames", []))
        for name in _LINKS:
            known[name] = self._linked(data.get(name), depth)
        group = [self._linked(member, depth) for member in known.get("group", [])]
        known["group"] = [member for member in group if member is not None]
        return Failure(**known)

    def _linked(self, value: object, depth: int) -> Failure | None:
        if value is None or not depth or self._room.exceptions <= 0:
            return None
        return self.read(value, depth - 1)

    def _note(self, note: object) -> str:
        return self._room.trim(note, MAX_MESSAGE) if isinstance(note, str) else f"<a {type(note).__name__}>"

    def _frames(self, frames: list[Any]) -> list[Any]:
        kept = frames[-min(MAX_FRAMES, self._room.frames) :] if self._room.frames else []
        self._room.frames -= len(kept)
        return kept


def _checked(value: object) -> dict[Any, Any]:
    if not is_dict(value):
        raise ProtocolError("a failure must be an object")
    for name, kind in _TYPES.items():
        if name in value and not isinstance(value[name], kind):
            raise ProtocolError(f"a failure's `{name}` must be of type {kind.__name__}")
    if not all(isinstance(value.get(name), str) for name in _NEEDED):
        raise ProtocolError("a failure must have `type`, `message` and `text`")
    if not is_list(value.get("group", [])):
        raise ProtocolError("a failure's `group` must be a list")
    return value
