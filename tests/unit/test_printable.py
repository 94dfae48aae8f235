"""Nothing that others have written reaches a terminal as anything but text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.printable import final_lines, final_state, printable, text_lines

HOSTILE = st.text(
    st.one_of(st.characters(codec=None), st.sampled_from("\x1b[m]0;\x07\r\n\t\b\x7f\x9b\u202e\u2028\ud800 ab"))
)


def dangerous(text: str) -> set[str]:
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\u202e\u2066\u200b"}


@given(HOSTILE)
def test_no_control_character_is_left(text):
    assert dangerous(printable(text, lines=False)) == set()
    assert dangerous(printable(text)) <= {"\n", "\t"}
    printable(text).encode()


@given(HOSTILE)
def test_with_colours_only_colours_are_left_and_end_with_their_line(text):
    shown = printable(text, colours=True)
    for line in shown.split("\n"):
        head, *rest = line.split("\x1b[")
        assert dangerous(head) <= {"\t"}
        for part in rest:
            codes, m, after = part.partition("m")
            assert m
            assert set(codes) <= set("0123456789;:")
            assert dangerous(after) <= {"\t"}
        assert not rest or line.rpartition("\x1b[")[2].partition("m")[0] in ("0", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain täxt 雪 \U0001f600", "plain täxt 雪 \U0001f600"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("a\rb", r"a\rb"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x9b31m", r"\x9b31m"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc", "a\nb\tc"),
        ("\ud800", r"\ud800"),
    ],
)
def test_text_is_shown_so(text, shown):
    assert printable(text) == shown


def test_what_is_a_cell_has_no_lines():
    assert printable("a\nb\tc", lines=False) == r"a\nb\tc"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        ("\x1b[31mred", "\x1b[31mred\x1b[0m"),
        ("\x1b[31mred\nnext", "\x1b[31mred\x1b[0m\nnext"),
        ("\x1b[31mred\x1b[2J", "\x1b[31mred\\x1b[2J\x1b[0m"),
    ],
)
def test_own_code_keeps_its_colours(text, shown):
    assert printable(text, colours=True) == shown


@pytest.mark.parametrize(
    ("line", "state"),
    [
        (b"plain", b"plain"),
        (b"", b""),
        (b"\r 0%\r 50%\r100%", b"100%"),
        (b" 0%\r 50%\r", b" 50%"),
        (b"windows\r", b"windows"),
        (b"\r 50%\r      \r", None),
        (b"\r 50%\r      \rdone", b"done"),
        (b"\r", None),
    ],
)
def test_a_line_that_is_redrawn_has_a_final_state(line, state):
    assert final_state(line) == state


def test_lines_of_text():
    assert final_lines(b"a\r\nb\r1\r2\n\n") == b"a\n2\n\n"
    assert text_lines(b"a\x0cb\x85\n\nc") == ["a\x0cb\ufffd", "", "c"]
    assert text_lines(b"\n") == [""]
    assert text_lines(b"") == []
    assert text_lines(b"\r10%\r    \r\n") == []


@given(st.lists(st.binary(max_size=20).filter(lambda b: b"\n" not in b and b"\r" not in b), max_size=6))
def test_lines_without_carriage_returns_stay_as_they_are(lines):
    body = b"".join(line + b"\n" for line in lines)
    assert final_lines(body) == body
    assert text_lines(body) == [line.decode(errors="replace") for line in lines]
