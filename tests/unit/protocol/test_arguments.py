from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.errors import ProtocolError
from busfn.protocol.arguments import pack_arguments, unpack_arguments
from busfn.protocol.codecs.msgpack import is_array, pack
from busfn.protocol.codecs.unpacking import unpack

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


@pytest.mark.parametrize("value", [[], [1], list(range(16)), list(range(70_000))])
def test_packed_lists_are_known_as_such(value: list[int]):
    assert is_array(pack(value))


@pytest.mark.parametrize("value", [None, 1, "a", {}, {"args": []}, (1,), b"x"])
def test_other_packed_values_are_no_lists(value: object):
    assert not is_array(pack(value))
