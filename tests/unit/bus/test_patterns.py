from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.bus.base import ConsumerSpec
from busfn.bus.patterns import matches, overlap
from busfn.bus.pull import Origin, read_token
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


@pytest.mark.parametrize(
    "token",
    [
        "", "a.b", "$JS.ACK.a.b.c.d.e.f.g", "busfn.main.JOBS.c.3.17.20.1.0", "$JS.ACK.JOBS.c.3.17.20.1",
        "$JS.ACK.JOBS.c.3.17.20.1.0.0", "$JS.ACK.JOBS.c.-3.17.20.1.0", "$JS.ACK.JOBS.c.3.²7.20.1.0",
        "$JS.ACK.JOBS.c.3." + "9" * 30 + ".20.1.0", "$JS.NAK.JOBS.c.3.17.20.1.0",
    ],
)  # fmt: skip
def test_other_subjects_are_no_tokens(token):
    with pytest.raises(ProtocolError):
        read_token(token)


JOBS = ConsumerSpec(stream="JOBS", name="c", subject="job.app.f.*")
OVERFLOW = ConsumerSpec(stream="OVF", name="c", subject="ovf.app.f")


@pytest.mark.parametrize("form", ["$JS.ACK.{}.3.17.20.5.0", "$JS.ACK.hub.HASH.{}.3.17.20.5.0.rnd"])
def test_a_delivery_is_known_by_its_subject_and_its_ack(form):
    assert Origin(JOBS).place("job.app.f.c1", form.format("JOBS.c")).sequence == 17
    assert Origin(OVERFLOW).place("ovf.app.f", form.format("OVF.c")).order == 20


@pytest.mark.parametrize(
    ("consumer", "subject", "names"),
    [
        (JOBS, "_INBOX.secret.3.1", "JOBS.c"),
        (JOBS, "job.app.g.c1", "JOBS.c"),
        (JOBS, "job.app.f.c1", "JOBS.d"),
        (JOBS, "job.app.f.c1", "OVF.c"),
        (OVERFLOW, "ovf.app.f.more", "OVF.c"),
        (OVERFLOW, "job.app.f.c1", "OVF.c"),
    ],
)
def test_what_anybody_could_send_is_no_delivery(consumer, subject, names):
    with pytest.raises(ProtocolError):
        Origin(consumer).place(subject, f"$JS.ACK.{names}.3.17.20.5.0")
