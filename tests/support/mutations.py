"""Changes frames at random, in places where a parser might trip: bytes that a codec knows, text in headers."""

from __future__ import annotations

import random

Frame = tuple[dict[str, str], bytes]
"""Headers and body of a message."""

# Bytes that mean something to one of the codecs: extensions, large containers, wide numbers, brackets, digits.
TELLING = (
    b"\xc0\xc1\xc7\xc8\xc9\xca\xcb\xcf\xd3\xd4\xd8\xd9\xdb\xdc\xdd\xde"
    b'\xdf\x80\x90\x81\x91\x01\x02\x06\xff\x00[]{}",:-9e.'
)
STRANGE = [
    "",
    "\0",
    "\n",
    "\r",
    "é",
    "\ud800",
    "\u0661",
    "-1",
    "9" * 30,
    "9" * 5000,
    "1e9",
    "nan",
    ",",
    ":",
    "*",
    ">",
    " ",
    "x" * 300,
]


def change_bytes(source: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(source.choice([1, 1, 1, 2, 4, 12])):
        at = source.randrange(len(changed) + 1)
        fresh = source.choice(TELLING) if source.random() < 0.5 else source.randrange(256)
        match source.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([fresh])
            case 1:
                changed.insert(at, fresh)
            case 2:
                del changed[at : at + source.choice([1, 1, 2, 9])]
            case 3:
                del changed[at:]
            case _:
                other = source.randrange(len(changed) + 1)
                changed[at:at] = changed[other : other + source.randrange(1, 30)]
    return bytes(changed)


def change_text(source: random.Random, text: str) -> str:
    at = source.randrange(len(text) + 1)
    strange = source.choice(STRANGE) if source.random() < 0.5 else chr(source.randrange(32, 0x250))
    match source.randrange(4):
        case 0:
            return text[:at] + strange + text[at + 1 :]
        case 1:
            return text[:at] + strange + text[at:]
        case 2:
            return text[:at]
        case _:
            return strange


def change_headers(source: random.Random, headers: dict[str, str], others: list[dict[str, str]]) -> dict[str, str]:
    changed = dict(headers)
    other = source.choice(others)
    match source.randrange(4) if changed else 3:
        case 0:
            name = source.choice(list(changed))
            changed[name] = change_text(source, changed[name])
        case 1:
            name = source.choice(list(changed))
            changed[change_text(source, name)] = changed.pop(name)
        case 2:
            changed.pop(source.choice(list(changed)))
        case _:
            changed |= dict(source.sample(sorted(other.items()), min(len(other), 2)))
    return changed


def mutate(source: random.Random, frame: Frame, others: list[dict[str, str]]) -> Frame:
    headers, body = frame
    which = source.randrange(4)
    if which and body:
        body = change_bytes(source, body)
    if which == 0 or which == 3 or not body:
        headers = change_headers(source, headers, others)
    return headers, body
