from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.bus.assembly import Assembly

CHUNKS = [b"first", b"", b"third", b"4"]


@given(st.lists(st.integers(0, len(CHUNKS) - 1), max_size=8).flatmap(lambda some: st.permutations([*some, *range(4)])))
def test_chunks_in_any_order_and_number_make_the_whole(order: list[int]) -> None:
    whole = Assembly(len(CHUNKS))
    for number in order:
        whole.add(number, CHUNKS[number])
    assert whole.data == b"".join(CHUNKS)
    assert whole.sha256 == hashlib.sha256(whole.data).hexdigest()


@pytest.mark.parametrize(("come", "there"), [([], []), ([0], [0]), ([2], [2]), ([2, 0], [0, 2]), ([1, 0], [0, 1])])
def test_it_knows_what_has_come(come: list[int], there: list[int]) -> None:
    whole = Assembly(4)
    for number in come:
        whole.add(number, CHUNKS[number])
    assert [number for number in range(4) if whole.has(number)] == there


def test_what_comes_behind_a_gap_is_not_in_place() -> None:
    whole = Assembly(4)
    whole.add(0, b"a")
    whole.add(2, b"c")
    assert whole.data == b"a"


@pytest.mark.parametrize("count", [1, 16, 17, 40])
def test_many_chunks_and_a_shorter_last_one_make_the_whole(count: int) -> None:
    chunks = [bytes([number]) * 100 for number in range(count - 1)] + [b"end"]
    whole = Assembly(count)
    for number, chunk in enumerate(chunks):
        whole.add(number, chunk)
        if number == 3:
            assert whole.data == b"".join(chunks[:4])
    assert whole.data == b"".join(chunks)
    assert whole.sha256 == hashlib.sha256(whole.data).hexdigest()


def test_a_count_that_lies_costs_no_more_than_some_chunks() -> None:
    whole = Assembly(1 << 40)
    whole.add(0, b"a" * 1000)
    assert whole.data == b"a" * 1000
