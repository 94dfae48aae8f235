"""Subjects with wildcards: ``*`` stands for one token, a last ``>`` for one or more."""

from __future__ import annotations


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject falls under a pattern."""
    tokens = subject.split(".")
    wanted = pattern.split(".")
    for place, token in enumerate(wanted):
        if token == ">":
            return len(tokens) > place
        if place >= len(tokens) or token not in ("*", tokens[place]):
            return False
    return len(wanted) == len(tokens)


def overlap(one: str, other: str) -> bool:
    """Whether some subject falls under both patterns."""
    mine, theirs = one.split("."), other.split(".")
    for a, b in zip(mine, theirs, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(mine) == len(theirs)
