"""Reading what anybody may have sent takes a time that is proportional to its size."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.errors import ProtocolError
from busfn.protocol.bad_call import BadCall
from busfn.protocol.codecs.collisions import MAX_COLLISIONS, check_collisions
from busfn.protocol.codecs.extensions import FROZENSET, MAX_INTEGER, SET
from busfn.protocol.codecs.msgpack import NotPlain, pack, pack_items
from busfn.protocol.codecs.unpacking import FEW, unpack
from busfn.protocol.convert import Interface

PRIME = (1 << 61) - 1
"""Numbers that differ by a multiple of it have one hash."""
MANY = 20_000


def big_integers(n: int) -> list[Any]:
    return [(1 << 70) + i * PRIME for i in range(n)]


def tuples(n: int) -> list[Any]:
    return list(itertools.islice(itertools.product((-1, -2), repeat=n.bit_length()), n))


def uuids(n: int) -> list[Any]:
    return [uuid.UUID(int=i * PRIME) for i in range(n)]


def decimals(n: int) -> list[Any]:
    return [Decimal(i * PRIME + 5) for i in range(n)]


def frozensets(n: int) -> list[Any]:
    return [frozenset([number]) for number in big_integers(n)]


def as_set(values: Iterable[Any]) -> bytes:
    return bytes(msgpack.packb(msgpack.ExtType(SET, pack_items([pack(value) for value in values]))))


def as_frozenset(values: Iterable[Any]) -> bytes:
    return bytes(msgpack.packb(msgpack.ExtType(FROZENSET, pack_items([pack(value) for value in values]))))


def as_map(values: Iterable[Any]) -> bytes:
    keys = [pack(value) for value in values]
    return bytes(msgpack.Packer().pack_map_header(len(keys))) + b"".join(key + b"\x01" for key in keys)


def in_a_list(values: Iterable[Any]) -> bytes:
    return pack_items([pack([1, 2]), as_set(values)])


KEYS = [big_integers, tuples, uuids, decimals, frozensets]


@pytest.mark.parametrize("wrap", [as_set, as_frozenset, as_map, in_a_list])
@pytest.mark.parametrize("keys", KEYS)
def test_keys_that_collide_are_refused_at_once(
    keys: Callable[[int], list[Any]], wrap: Callable[[Iterable[Any]], bytes]
) -> None:
    made = keys(MANY)
    assert len({hash(key) for key in made}) == 1
    data = wrap(made)
    begun = time.process_time()
    with pytest.raises(ProtocolError, match="same hash"):
        unpack(data)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("wrap", [as_set, as_frozenset, as_map, in_a_list])
@pytest.mark.parametrize("keys", KEYS)
def test_a_few_that_collide_are_read(keys: Callable[[int], list[Any]], wrap: Callable[[Iterable[Any]], bytes]) -> None:
    for count in (1, 50, MAX_COLLISIONS):
        unpack(wrap(keys(count)))


@given(st.integers(0, 3 * FEW), st.integers(0, 1 << 100))
def test_sets_and_maps_of_many_extensions_are_read_as_they_are(count: int, first: int) -> None:
    numbers = [(1 << 64) + first + i for i in range(count)]
    value = {"a": set(numbers), "b": {(number,): number for number in numbers}, "c": [(n, str(n)) for n in numbers]}
    assert unpack(pack(value)) == value


def test_a_grid_with_minus_one_and_minus_two_is_read() -> None:
    grid = set(itertools.product(range(-3, 4), repeat=4))  # up to 16 of its points have one hash
    assert unpack(pack(grid)) == grid


def test_keys_without_a_hash_are_refused() -> None:
    for wrap in (as_set, as_frozenset, as_map):
        with pytest.raises(ProtocolError, match="not valid msgpack"):
            unpack(wrap([[]] * (FEW + 1) + big_integers(FEW + 1)))


def test_integers_have_a_bound() -> None:
    largest = (1 << (8 * MAX_INTEGER - 1)) - 1
    assert unpack(pack([largest, -largest])) == [largest, -largest]
    with pytest.raises(NotPlain, match="integer"):
        pack([largest + 1])
    too_large = msgpack.packb(msgpack.ExtType(4, b"\x01" * (MAX_INTEGER + 1)))
    with pytest.raises(ProtocolError, match="integer"):
        unpack(too_large)


@given(st.lists(st.integers(-3, 3) | st.tuples(st.integers(-2, -1)), max_size=20))
def test_what_is_small_is_never_refused(keys: list[Any]) -> None:
    check_collisions(keys)


def into_set(values: set[int]) -> None: ...
def into_map(values: dict[int, int]) -> None: ...


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (into_set, [5 + i * PRIME for i in range(MANY)]),
        (into_map, {str(5 + i * PRIME): 1 for i in range(MANY)}),
    ],
)
def test_what_becomes_a_set_or_a_map_by_its_annotation_is_looked_at_too(
    function: Callable[..., None], value: Any
) -> None:
    begun = time.process_time()
    with pytest.raises(BadCall, match="same hash"):
        Interface.of(function).convert([value], {})
    assert time.process_time() - begun < 5
