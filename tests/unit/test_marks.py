from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn_services.marks import MOST_HELD, NOBODY, MarkedOutput, Owner, Piece, mark

TOKEN = "0f" * 16
A, B = Owner("a1", 0), Owner("b2", 17)
owners = st.one_of(
    st.just(NOBODY),
    st.builds(Owner, st.from_regex(r"[0-9a-f]{1,32}", fullmatch=True), st.integers(0, 10**9), st.booleans()),
)
texts = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"line\n", b"\0", b"\0busfn ", b"\0busfn %s" % TOKEN[:9].encode(), mark("11" * 16, A), b"\n\n"]),
)
printed = st.lists(st.tuples(owners, texts), max_size=12)


def read(data: bytes, *cuts: int) -> list[Piece]:
    """What comes out when the bytes arrive in parts."""
    output, pieces = MarkedOutput(TOKEN), []
    for begin, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        pieces += output.feed(data[begin:end])
    return pieces + output.end()


def by_owner(pieces) -> dict[Owner, bytes]:
    found: dict[Owner, bytes] = {}
    for piece in pieces:
        found[piece.owner] = found.get(piece.owner, b"") + piece.text
    return found


def in_order(pieces) -> list[tuple[Owner, bytes]]:
    """Texts with their owners, neighbours of one owner joined."""
    joined: list[tuple[Owner, bytes]] = []
    for piece in pieces:
        if joined and joined[-1][0] == piece.owner:
            joined[-1] = (piece.owner, joined[-1][1] + piece.text)
        elif piece.text:
            joined.append((piece.owner, piece.text))
    return joined


@given(printed, st.data())
def test_every_byte_comes_out_under_its_owner_however_it_is_cut(pieces, data):
    stream = b"".join(mark(TOKEN, owner) + text for owner, text in pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    assert in_order(read(stream, *cuts)) == in_order([Piece(owner, text) for owner, text in pieces])


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_what_holds_no_mark_passes_unchanged(parts):
    output = MarkedOutput(TOKEN)
    found = [piece for part in parts for piece in output.feed(part)] + output.end()
    assert b"".join(piece.text for piece in found) == b"".join(parts)
    assert {piece.owner for piece in found} <= {NOBODY}


@pytest.mark.parametrize(
    "forged",
    [
        mark("11" * 16, B),
        b"\0busfn  b2 17\n",
        b"\0busfn %s b2\n" % TOKEN.encode(),
        b"\0busfn %s b.2 17\n" % TOKEN.encode(),
        b"\0busfn %s b2 -1\n" % TOKEN.encode(),
        mark(TOKEN, B)[:-1] + b" \n",
    ],
)
def test_what_looks_like_a_mark_is_text(forged):
    assert read(mark(TOKEN, A) + forged) == [Piece(A, forged)]


def test_whole_lines_are_passed_on_and_an_unfinished_one_is_kept_back():
    output = MarkedOutput(TOKEN)
    assert output.feed(b"one\ntwo\nthr") == [Piece(NOBODY, b"one\ntwo\n")]
    assert output.feed(b"") == []
    assert output.feed(b"ee\n") == [Piece(NOBODY, b"three\n")]


def test_a_line_that_a_mark_interrupts_stays_with_its_owner():
    stream = mark(TOKEN, A) + b"from a chi" + mark(TOKEN, B) + b"mine\n"
    assert read(stream) == [Piece(A, b"from a chi"), Piece(B, b"mine\n")]


def test_a_killed_worker_leaves_half_a_line():
    assert read(mark(TOKEN, A) + b"half a li") == [Piece(A, b"half a li")]


@given(st.integers(1, 70_000))
def test_a_huge_line_comes_in_parts_and_a_mark_behind_it_is_found(size):
    output, held, pieces = MarkedOutput(TOKEN), 0, []
    stream = mark(TOKEN, A) + b"x" * (3 * MOST_HELD) + mark(TOKEN, B) + b"y\n"
    for begin in range(0, len(stream), size):
        passed = output.feed(stream[begin : begin + size])
        held += len(stream[begin : begin + size]) - sum(len(piece.text) for piece in passed)
        pieces += passed
        assert held <= MOST_HELD + size + 400
    assert by_owner(pieces + output.end()) == {A: b"x" * (3 * MOST_HELD), B: b"y\n"}


def test_an_id_that_is_no_token_counts_as_no_call():
    assert mark(TOKEN, Owner("a.b", 3)) == mark(TOKEN, NOBODY)
