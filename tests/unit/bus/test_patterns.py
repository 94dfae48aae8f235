from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.bus.patterns import matches, overlap
from busfn.bus.pull import read_token
from busfn.errors import ProtocolError

tokens = st.sampled_from("ab")
subjects = st.lists(tokens, min_size=1, max_size=4).map(".".join)
patterns = st.tuples(st.lists(st.sampled_from("ab*"), min_size=0, max_size=4), st.sampled_from(["", ">"])).map(
    lambda parts: ".".join([*parts[0], *filter(None, parts[1:])]) or "*"
)


@given(subjects)
def test_a_subject_matches_itself(subject):
    assert matches(subject, subject)
    assert matches(">", subject)
    assert matches(".".join("*" for _ in subject.split(".")), subject)


@given(patterns, patterns, subjects)
def test_what_matches_both_is_an_overlap(one, other, subject):
    assert overlap(one, other) == overlap(other, one)
    if matches(one, subject) and matches(other, subject):
        assert overlap(one, other)


@pytest.mark.parametrize(("one", "other"), [("a.*", "b.*"), ("a", "a.b"), ("a.b.>", "a.c.d"), ("a.>", "a")])
def test_no_overlap(one, other):
    assert not overlap(one, other)


@pytest.mark.parametrize(
    ("token", "read"),
    [
        ("$JS.ACK.JOBS.c.3.17.20.1795468482988188458.0", (17, 3, 20, 1795468482.988188458)),
        ("$JS.ACK._.ABCDEF.JOBS.c.3.17.20.1795468482988188458.0", (17, 3, 20, 1795468482.988188458)),
        ("$JS.ACK.hub.ABCDEF.JOBS.c.3.17.20.1795468482988188458.0.rnd", (17, 3, 20, 1795468482.988188458)),
    ],
)
def test_both_forms_of_ack_subjects(token, read):
    assert read_token(token) == read


@pytest.mark.parametrize("token", ["", "a.b", "$JS.ACK.a.b.c.d.e.f.g"])
def test_other_subjects_are_no_tokens(token):
    with pytest.raises(ProtocolError):
        read_token(token)
