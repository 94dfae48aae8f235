from __future__ import annotations

import pytest

from busfn.errors import ProtocolError
from busfn.protocol.admission import MAX_AHEAD, MAX_DELAY, Way, check_job, check_start
from busfn.protocol.border import NO_INBOX
from busfn.protocol.codecs import BlobRef, Payload
from busfn.protocol.envelope import Call

NOW = 1_800_000_000.0


def call(*, ahead: float = 0.0, reference: str = "", reply: str = NO_INBOX) -> Call:
    blob = BlobRef(name="b", size=1, chunks=1, sha256="0" * 64, reference=reference) if reference else None
    at = int((NOW + ahead) * 1000) if ahead else 0
    return Call(call="c1", payload=Payload(content_type="", body=b"", blob=blob), not_before=at, reply=reply)


@pytest.mark.parametrize("way", Way)
def test_a_call_may_start_as_late_as_there_can_be_a_reason_for(way):
    check_start(call(ahead=MAX_AHEAD[way]), way, NOW)
    check_start(call(ahead=-1e9), way, NOW)
    with pytest.raises(ProtocolError, match=r"Busfn-Not-Before is .* days ahead"):
        check_start(call(ahead=MAX_AHEAD[way] + 86_400), way, NOW)


def test_a_queued_call_may_be_put_off_for_a_year_by_a_caller_whose_clock_is_ahead():
    assert MAX_AHEAD[Way.JOB] >= MAX_DELAY + 3600
    assert MAX_AHEAD[Way.DIRECT] == 0


@pytest.mark.parametrize("reference", ["", "c1.0", "c1again.3failed7", "c1dead.0", "c1"])
def test_a_queued_call_holds_its_own_arguments(reference):
    check_job(call(reference=reference), "c1")


def test_a_queued_call_does_not_claim_those_of_another_one():
    with pytest.raises(ProtocolError, match="belongs to c2"):
        check_job(call(reference="c2.0"), "c1")
    check_job(call(reference="c2.0", reply="_INBOX.a"), "c1")  # its caller gives them up, not its worker


def test_a_queued_call_is_the_one_that_its_subject_names():
    with pytest.raises(ProtocolError, match="queued under c2"):
        check_job(call(), "c2")
