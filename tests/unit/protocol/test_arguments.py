from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.errors import ProtocolError
from busfn.protocol.arguments import Inputs, pack_arguments, unpack_arguments
from busfn.protocol.codecs.msgpack import is_array, pack, pack_calls, unpack

values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["args", "kwargs", "x"]), inner),
    max_leaves=6,
)
kwargs = st.dictionaries(st.one_of(st.sampled_from(["args", "kwargs", "self"]), st.text(max_size=3)), values)


@given(st.lists(values, max_size=3), kwargs)
def test_arguments_come_out_as_they_went_in(args, named):
    # also when a value or a name looks like our own envelope
    assert unpack_arguments(unpack(pack(pack_arguments(args, named)))) == (tuple(args), named)


@pytest.mark.parametrize(
    ("value", "arguments"),
    [
        ([], ((), {})),
        ([1, [2]], ((1, [2]), {})),
        ({"args": [1], "kwargs": {"a": 2}}, ((1,), {"a": 2})),
        ({"args": [1]}, ((1,), {})),
        ({"args": [], "kwargs": {}}, ((), {})),
        ({}, ((), {})),
        ({"x": 1, "y": 2}, ((), {"x": 1, "y": 2})),
        ({"args": [1], "x": 2}, ((), {"args": [1], "x": 2})),
        ({"args": 1}, ((), {"args": 1})),
        ({"args": [1], "kwargs": 2}, ((), {"args": [1], "kwargs": 2})),
        ({"kwargs": {"a": 1}}, ((), {"kwargs": {"a": 1}})),
        ({1: 2}, (({1: 2},), {})),
        ({"x": 1, None: 2}, (({"x": 1, None: 2},), {})),
        (4, ((4,), {})),
        (None, ((None,), {})),
        ("text", (("text",), {})),
        ((1, 2), (((1, 2),), {})),
    ],
    ids=repr,
)
def test_what_a_foreign_body_means(value, arguments):
    assert unpack_arguments(value) == arguments


def test_keyword_names_that_are_no_text_are_refused():
    with pytest.raises(ProtocolError, match="names of keyword arguments must be text"):
        unpack_arguments({"args": [], "kwargs": {1: 2}})


@given(st.integers(1, 3), st.integers(0, 4), st.data(), kwargs)
def test_a_chunk_of_columns_comes_out_as_it_went_in(width, length, data, named):
    columns = [data.draw(st.lists(values, min_size=length, max_size=length)) for _ in range(width)]
    chunk = Inputs.unpack(unpack(pack(Inputs(columns, None, named).pack())))
    assert chunk == Inputs(columns, None, named)
    assert len(chunk) == length
    assert list(chunk) == list(zip(*columns, strict=True))


@given(st.lists(st.lists(values, max_size=3), max_size=4), kwargs)
def test_a_chunk_of_rows_comes_out_as_it_went_in(rows, named):
    chunk = Inputs.unpack(unpack(pack(Inputs(None, rows, named).pack())))
    assert chunk == Inputs(None, rows, named)
    assert len(chunk) == len(rows)
    assert list(chunk) == [tuple(row) for row in rows]


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
def test_a_bad_chunk_is_refused(value, reason):
    with pytest.raises(ProtocolError, match=reason):
        Inputs.unpack(value)


def test_packed_calls_are_inputs_with_ids():
    packed = pack_calls([pack([1, "a"]), pack([])], ["first", "second"])
    inputs = Inputs.unpack(unpack(packed))
    assert list(inputs) == [(1, "a"), ()]
    assert inputs.calls == ["first", "second"]


@pytest.mark.parametrize("calls", ["ab", ["a"], ["a", "b", "c"], ["a", 1], {"a": 1, "b": 2}])
def test_ids_must_be_texts_one_for_each_input(calls: object):
    with pytest.raises(ProtocolError, match="calls"):
        Inputs.unpack({"rows": [[1], [2]], "calls": calls})


@pytest.mark.parametrize("value", [[], [1], list(range(16)), list(range(70_000))])
def test_packed_lists_are_known_as_such(value: list[int]):
    assert is_array(pack(value))


@pytest.mark.parametrize("value", [None, 1, "a", {}, {"args": []}, (1,), b"x"])
def test_other_packed_values_are_no_lists(value: object):
    assert not is_array(pack(value))
