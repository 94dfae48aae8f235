"""Text of others for terminals and logs. Pure.

What bodies print, errors, ids and tags come from whoever may use the bus. Control characters in them could move the
cursor, hide text or make a terminal do things, so they are shown escaped.
"""

from __future__ import annotations

import re

_CONTROLS = r"\x00-\x1f\x7f-\x9f"
_INVISIBLE = r"\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff"
"""Line breaks of Unicode, what changes the direction of text, what has no width, and halves of characters."""
_ESCAPED = re.compile(f"[{_CONTROLS}{_INVISIBLE}]")
_COLOUR = re.compile(r"\x1b\[[0-9;:]{0,32}m")
_RESET = "\x1b[0m"


def printable(text: str, *, lines: bool = True, colours: bool = False) -> str:
    """The text with control characters escaped, as in ``\\x1b``.

    With ``lines``, line breaks and tabs stay. With ``colours``, sequences that only change how text looks stay, and end
    with their line: for what the user's own code prints.
    """
    if text.isascii() and text.isprintable():  # nearly always
        return text
    if colours and "\x1b" in text:
        return "\n".join(_coloured(line, lines) for line in text.split("\n"))
    return _ESCAPED.sub(_keeping_lines if lines else _escape, text)


def final_state(line: bytes) -> bytes | None:
    """What is left of a line that was drawn again and again, as progress bars are; None when it was erased."""
    if b"\r" not in line:
        return line
    last = line.rstrip(b"\r").rpartition(b"\r")[2]
    return last if last.strip() else None


def final_lines(text: bytes) -> bytes:
    """The final states of all lines."""
    if b"\r" not in text:
        return text
    states = [final_state(line) for line in text.removesuffix(b"\n").split(b"\n")]
    kept = b"\n".join(state for state in states if state is not None)
    return kept + b"\n" if kept and text.endswith(b"\n") else kept


def text_lines(body: bytes) -> list[str]:
    """The lines of printed text; only line feeds end them."""
    text = final_lines(body).removesuffix(b"\n")
    return text.decode(errors="replace").split("\n") if text or body == b"\n" else []


def _coloured(line: str, lines: bool) -> str:
    parts = _COLOUR.split(line)
    if len(parts) == 1:
        return printable(line, lines=lines)
    codes = [*_COLOUR.findall(line), ""]
    made = "".join(printable(part, lines=lines) + code for part, code in zip(parts, codes, strict=True))
    return made if codes[-2] in (_RESET, "\x1b[m") else made + _RESET


def _keeping_lines(found: re.Match[str]) -> str:
    return found[0] if found[0] in "\n\t" else _escape(found)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if found[0] in "\n\r\t":
        return repr(found[0])[1:-1]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
