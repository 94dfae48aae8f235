from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.bus.assembly import Assembly

CHUNKS = [b"first", b"", b"third", b"4"]


@given(st.lists(st.integers(0, len(CHUNKS) - 1), max_size=8).flatmap(lambda some: st.permutations([*some, *range(4)])))
def test_chunks_in_any_order_and_number_make_the_whole(order: list[int]) -> None:
    whole = Assembly()
    for number in order:
        whole.add(number, CHUNKS[number])
    assert whole.data == b"".join(CHUNKS)
    assert whole.sha256 == hashlib.sha256(whole.data).hexdigest()


@pytest.mark.parametrize(("come", "there"), [([], []), ([0], [0]), ([2], [2]), ([2, 0], [0, 2]), ([1, 0], [0, 1])])
def test_it_knows_what_has_come(come: list[int], there: list[int]) -> None:
    whole = Assembly()
    for number in come:
        whole.add(number, CHUNKS[number])
    assert [number for number in range(4) if whole.has(number)] == there


def test_what_comes_behind_a_gap_is_not_in_place() -> None:
    whole = Assembly()
    whole.add(0, b"a")
    whole.add(2, b"c")
    assert whole.data == b"a"
