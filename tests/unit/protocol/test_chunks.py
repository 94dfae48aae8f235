"""What becomes of an input does not depend on the ones that it travels with."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.errors import DeserializationError, ProtocolError, SerializationError
from busfn.protocol.arguments import pack_arguments, unpack_arguments
from busfn.protocol.chunks import ChunkWriter, FrozenRow, Inputs, join_calls
from busfn.protocol.codecs import MSGPACK, PICKLE, PICKLES, Codecs, Payload
from busfn.protocol.codecs.msgpack import pack, pack_bytes, pack_items, pack_map

SIGNED = Codecs(key=b"0123456789abcdef")
UNSIGNED = Codecs()
SCOPE = "call app.f c1 0"
BROKEN = b"\xc7\x01\x63\x00"
"""An extension that nobody knows."""


@dataclasses.dataclass
class Item:
    """What msgpack cannot carry."""

    value: Any


class Stubborn(Item):
    def __setstate__(self, state: dict[str, Any]) -> None:
        raise ValueError("broken item")


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.tuples(inner, inner)
        | st.builds(Item, inner)
    ),
    max_leaves=6,
)
names = st.dictionaries(st.sampled_from(["a", "args", "kwargs", "rows"]), values, max_size=2)


def send(
    rows: list[tuple[Any, ...]], kwargs: dict[str, Any], *, uniform: bool = False, codecs: Codecs = SIGNED
) -> Payload:
    writer = ChunkWriter(codecs, kwargs, uniform=uniform)
    return writer.chunk([writer.freeze(row) for row in rows], SCOPE)


def received(payload: Payload, codecs: Codecs = SIGNED) -> list[Any]:
    """Arguments of each input, or the class of what decoding them raises."""
    inputs = Inputs(codecs, payload, SCOPE)
    found: list[Any] = []
    for place in range(len(inputs)):
        try:
            found.append(inputs.arguments(place))
        except Exception as error:
            found.append(type(error))
    return found


def alone(row: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same as a call of its own."""
    payload = SIGNED.encode(pack_arguments(row, kwargs), scope=SCOPE)
    return unpack_arguments(SIGNED.decode(payload, scope=SCOPE))


@given(st.lists(st.lists(values, max_size=3).map(tuple), max_size=5), names)
def test_inputs_arrive_as_they_would_alone(rows: list[tuple[Any, ...]], kwargs: dict[str, Any]) -> None:
    assert received(send(rows, kwargs)) == [alone(row, kwargs) for row in rows]


@given(st.integers(1, 3), st.integers(0, 4), st.data(), names)
def test_rows_of_one_length_arrive_as_they_would_alone(
    width: int, length: int, data: st.DataObject, kwargs: dict[str, Any]
) -> None:
    rows = [tuple(data.draw(st.lists(values, min_size=width, max_size=width))) for _ in range(length)]
    if rows:  # no message is empty
        assert received(send(rows, kwargs, uniform=True)) == [alone(row, kwargs) for row in rows]


def change(value: Any) -> None:
    """Change everything in it that can be changed."""
    if isinstance(value, Item):
        change(value.value)
        value.value = "changed"
    elif isinstance(value, list):
        for item in value:
            change(item)
        value.append("changed")
    elif isinstance(value, dict):
        for item in value.values():
            change(item)
        value["changed"] = True
    elif isinstance(value, tuple):
        for item in value:
            change(item)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=4), names, st.booleans())
def test_nothing_that_happens_afterwards_changes_what_is_sent(
    rows: list[tuple[Any, ...]], kwargs: dict[str, Any], uniform: bool
) -> None:
    expected = [alone(row, kwargs) for row in copy.deepcopy(rows)]
    writer = ChunkWriter(SIGNED, kwargs, uniform=uniform)
    change(kwargs)
    frozen: list[FrozenRow] = []
    for row in rows:
        frozen.append(writer.freeze(copy.deepcopy(row)))
    pulled = copy.deepcopy(rows)
    kept = [writer.freeze(row) for row in pulled]
    change(pulled)
    assert received(writer.chunk(kept, SCOPE)) == expected
    assert received(writer.chunk(frozen, SCOPE)) == expected


@given(st.lists(st.tuples(values), min_size=1, max_size=4), names)
def test_no_object_is_shared_between_inputs(rows: list[tuple[Any, ...]], kwargs: dict[str, Any]) -> None:
    shared = [row + rows[0] for row in rows]
    inputs = Inputs(SIGNED, send(shared, kwargs), SCOPE)
    for place, row in enumerate(shared):
        args, named = inputs.arguments(place)
        assert (args, named) == alone(row, kwargs)
        change(args)
        for value in named.values():
            change(value)


def test_within_an_input_that_is_pickled_what_is_shared_stays_shared() -> None:
    item = Item(1)
    [(first, _), (second, _)] = received(send([(item, [item]), (item, [item])], {}))
    assert first[0] is first[1][0]
    assert second[0] is second[1][0]
    assert first[0] is not second[0]


def test_an_input_that_cannot_be_unpickled_fails_alone() -> None:
    found = received(send([(Item(1),), (Stubborn(2),), (3,), ([4],)], {}))
    assert found == [((Item(1),), {}), DeserializationError, ((3,), {}), (([4],), {})]


def test_keyword_arguments_that_cannot_be_unpickled_fail_each_input() -> None:
    assert received(send([(1,), (2,)], {"a": Stubborn(1)})) == [DeserializationError] * 2


def test_an_input_that_is_no_msgpack_fails_alone() -> None:
    body = pack_map({"rows": pack_items([pack([1]), b"\x91" + BROKEN, pack([[3]])]), "kwargs": pack({"a": []})})
    assert received(Payload(content_type=MSGPACK, body=body)) == [((1,), {"a": []}), ProtocolError, (([3],), {"a": []})]


def test_a_column_that_is_no_msgpack_somewhere_fails_that_input() -> None:
    body = pack_map({"columns": pack_items([pack_items([pack(1), BROKEN]), pack([3, 4])])})
    assert received(Payload(content_type=MSGPACK, body=body)) == [((1, 3), {}), ProtocolError]


def test_scalars_and_small_containers_of_them_travel_as_columns() -> None:
    payload = send([(1, [2]), ("a", {"b": 3})], {}, uniform=True)
    assert SIGNED.decode(payload, scope=SCOPE) == {"columns": [[1, "a"], [[2], {"b": 3}]]}


def test_none_is_an_argument() -> None:
    assert received(send([(None, 1), (None, [[None]])], {}, uniform=True)) == [((None, 1), {}), ((None, [[None]]), {})]


def test_values_whose_comparison_fails_are_arguments() -> None:
    class Array(Item):
        def __eq__(self, other: object) -> bool:
            raise ValueError("the truth value of an array is ambiguous")

        __hash__ = None  # type: ignore[assignment]

    [(args, _)] = received(send([(Array(1), None)], {}))
    assert (args[0].value, args[1]) == (1, None)


def test_the_offender_is_named_without_a_key() -> None:
    with pytest.raises(SerializationError, match=r"args\[1\]\[0\] is a Item"):
        send([(1, [Item(2)])], {}, codecs=UNSIGNED)
    with pytest.raises(SerializationError, match=r"kwargs\['a'\] is a Item"):
        send([(1,)], {"a": Item(2)}, codecs=UNSIGNED)


def test_what_cannot_be_pickled_is_named() -> None:
    with pytest.raises(SerializationError, match=r"args\[0\] \(generator\) cannot be pickled"):
        send([((x for x in ()),)], {})


def test_pickles_are_touched_only_with_the_right_signature() -> None:
    payload = send([(Item(1),)], {})
    assert payload.content_type == PICKLES
    with pytest.raises(ProtocolError, match="wrong signature"):
        Inputs(SIGNED, payload, "call app.f c1 7")
    with pytest.raises(ProtocolError, match="without a signature"):
        Inputs(SIGNED, dataclasses.replace(payload, signature=""), SCOPE)
    with pytest.raises(ProtocolError, match="without a signing key"):
        Inputs(UNSIGNED, payload, SCOPE)
    pickle = SIGNED.encode(Item(1), scope=SCOPE)
    with pytest.raises(ProtocolError, match="wrong signature"):  # a signature is for one content type
        Inputs(SIGNED, dataclasses.replace(pickle, content_type=PICKLES), SCOPE)


def test_bytes_in_an_unsigned_message_are_no_pickles() -> None:
    body = pack_map({"rows": pack_items([pack_bytes(b"cos\nsystem\n.")])})
    with pytest.raises(ProtocolError, match="must be a list of lists"):
        Inputs(SIGNED, Payload(content_type=MSGPACK, body=body), SCOPE)
    named = pack_map({"rows": pack([[1]]), "kwargs": pack_bytes(b"cos\nsystem\n.")})
    assert received(Payload(content_type=MSGPACK, body=named)) == [ProtocolError]


def test_a_message_that_was_pickled_as_a_whole_is_read() -> None:
    old = SIGNED.encode({"columns": [[Item(1), Item(2)]], "kwargs": {"a": Item(3)}}, scope=SCOPE)
    assert old.content_type == PICKLE
    assert received(old) == [((Item(1),), {"a": Item(3)}), ((Item(2),), {"a": Item(3)})]


def test_joined_calls_are_inputs_with_ids() -> None:
    body = join_calls([pack([1, "a"]), pack([])], ["first", "second"])
    inputs = Inputs(UNSIGNED, Payload(content_type=MSGPACK, body=body), "")
    assert [inputs.arguments(place) for place in range(2)] == [((1, "a"), {}), ((), {})]
    assert inputs.calls == ["first", "second"]


@pytest.mark.parametrize("calls", ["ab", ["a"], ["a", "b", "c"], ["a", 1], {"a": 1, "b": 2}])
def test_ids_must_be_texts_one_for_each_input(calls: object) -> None:
    with pytest.raises(ProtocolError, match="calls"):
        Inputs(SIGNED, SIGNED.encode({"rows": [[1], [2]], "calls": calls}, scope=SCOPE), SCOPE)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "must be an object"),
        (None, "must be an object"),
        ({}, "either `columns` or `rows`"),
        ({"columns": [[1]], "rows": [[1]]}, "either `columns` or `rows`"),
        ({"columns": []}, "`columns` must be lists of one length, at least one"),
        ({"columns": [[1], [1, 2]]}, "`columns` must be lists of one length"),
        ({"columns": [1]}, "`columns` must be a list of lists"),
        ({"columns": {"a": []}}, "`columns` must be a list of lists"),
        ({"columns": "ab"}, "`columns` must be a list of lists"),
        ({"columns": [(1,)]}, "`columns` must be a list of lists"),
        ({"rows": [1]}, "`rows` must be a list of lists"),
        ({"rows": 3}, "`rows` must be a list of lists"),
        ({"rows": [], "kwargs": []}, "`kwargs` must be an object"),
        ({"rows": [], "kwargs": {1: 2}}, "`kwargs` must be an object"),
        ({"rows": [], "kwargs": None}, "`kwargs` must be an object"),
    ],
    ids=repr,
)
def test_a_bad_chunk_is_refused(value: object, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        Inputs(SIGNED, SIGNED.encode(value, scope=SCOPE), SCOPE)


@pytest.mark.parametrize("body", [b"", b"\x81", b"\x81\xa4rows", BROKEN, b"\x81\xa4rows\x92\x91\x01", b"\xc1" * 9])
def test_what_is_no_chunk_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        Inputs(SIGNED, Payload(content_type=MSGPACK, body=body), SCOPE)
