"""What goes into blobs, and under which name."""

from __future__ import annotations

import os

import pytest

from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.errors import ProtocolError
from busfn.invoke.payloads import SPILL, content_name, cut_end, fetch, stow
from busfn.protocol.codecs import JSON, MSGPACK, PICKLE, BlobRef, Codecs, Payload
from busfn.protocol.subjects import Subjects
from busfn.streams import streams

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


@pytest.fixture
async def bus(anyio_backend: object) -> MemoryBus:
    bus = MemoryBus(MemoryBroker())
    for stream in streams(Subjects()):
        await bus.queues.ensure_stream(stream)
    return bus


@pytest.mark.anyio
async def test_large_bytes_at_the_end_are_stored_as_they_are_and_come_back_as_they_were(bus: MemoryBus):
    large = os.urandom(SPILL + 1)
    values = [large, [large], [1, "two", large]]
    stowed = [await stow(bus, Codecs().encode(value, scope="s", apart=SPILL)) for value in values]
    assert [len(payload.body) < 20 and payload.end == b"" for payload in stowed] == [True] * 3
    assert len({payload.blob.name for payload in stowed if payload.blob}) == 1
    assert [Codecs().decode(await fetch(bus, payload), scope="s") for payload in stowed] == values


@pytest.mark.anyio
async def test_who_puts_the_parts_together_reads_the_same(bus: MemoryBus):
    value = [1, os.urandom(SPILL + 1)]
    fetched = await fetch(bus, await stow(bus, Codecs().encode(value, scope="s", apart=SPILL)))
    assert fetched.whole() == Codecs().encode(value, scope="s")
    assert fetched.size == len(fetched.whole().body)


@pytest.mark.anyio
async def test_what_stays_within_the_limit_of_its_reader_is_not_stored(bus: MemoryBus):
    payload = Codecs().encode(b"x" * (SPILL + 1), scope="s")
    assert await stow(bus, payload, limit=2 * SPILL) is payload


def test_who_asks_for_a_type_gets_it_whole():
    large = b"x" * (SPILL + 1)
    assert Codecs().encode([large], scope="s", accept=MSGPACK, apart=SPILL).end == b""
    assert Codecs().encode(["text"], scope="s", accept=JSON, apart=SPILL).end == b""
