"""What goes into blobs, and under which name."""

from __future__ import annotations

import pytest

from busfn.errors import ProtocolError
from busfn.invoke.payloads import SPILL, content_name, cut_end
from busfn.protocol.codecs import MSGPACK, PICKLE, BlobRef, Payload

BLOB = BlobRef(name="n", size=3, chunks=1, sha256="0" * 64, reference="r1")
SHA = "ab" * 32


def test_the_end_of_a_body_is_replaced_by_its_blob():
    payload = Payload(content_type=MSGPACK, body=b"head" + b"end")
    assert cut_end(payload, b"end", BLOB) == Payload(content_type=MSGPACK, body=b"head", blob=BLOB)


@pytest.mark.parametrize(
    ("kind", "body"),
    [(PICKLE, b"head end"), (MSGPACK, b"head and more"), (MSGPACK, b"x" * (SPILL + 1) + b"end")],
    ids=["signed as a whole", "another end", "too much before it"],
)
def test_other_bodies_are_left_whole(kind, body):
    assert cut_end(Payload(content_type=kind, body=body), b"end", BLOB) is None


def test_contents_are_shared_within_a_period_only():
    assert content_name(SHA, 100.0, 1000.0) == content_name(SHA, 100.0, 1099.9)
    assert content_name(SHA, 100.0, 1100.0) != content_name(SHA, 100.0, 1099.9)
    assert content_name(SHA, 200.0, 1000.0) != content_name(SHA, 100.0, 1000.0)


def test_a_name_fits_into_the_header():
    week = 7 * 24 * 3600.0
    ref = BlobRef(name=content_name(SHA, week, 4e9), size=1, chunks=1, sha256=SHA, reference="0a" * 16)
    assert BlobRef.decode(ref.encode(), ref.reference) == ref


@pytest.mark.parametrize("reference", ["a.b.c", "a.", ".b", ">", "a.>", "*", "*.a", "x" * 41, "a b"])
def test_a_reference_that_would_change_a_subject_is_refused(reference):
    with pytest.raises(ProtocolError, match="letters and digits"):
        BlobRef.decode(BLOB.encode(), reference)
