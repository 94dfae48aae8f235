"""Which of the stored results of a call are read in one go."""

from __future__ import annotations

from busfn.invoke.durable import leading
from busfn.protocol.codecs import BlobRef, Payload
from busfn.protocol.envelope import Answer, Status


def answer(size: int, blob: int = 0) -> Answer:
    ref = BlobRef(name="n", size=blob, chunks=1, sha256="0" * 64) if blob else None
    return Answer(status=Status.OK, payload=Payload(content_type="", body=b"x" * size, blob=ref))


def test_a_page_ends_at_the_first_gap():
    first, second, behind = answer(1), answer(1), answer(1)
    assert leading([first, second, None, behind]) == [first, second]
    assert leading([None, behind]) == []


def test_a_page_ends_when_its_bytes_are_used_up_and_blobs_count():
    small, large = answer(10), answer(0, blob=90)
    assert leading([small, large, small], 100) == [small, large]
    assert leading([small, small, large], 100) == [small, small]


def test_the_first_result_is_read_whatever_its_size():
    large = answer(0, blob=200)
    assert leading([large, answer(1)], 100) == [large]
