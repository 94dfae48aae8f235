"""Calls that start late: not centuries away, and with all that belongs to them."""

from __future__ import annotations

import datetime as dt

import durable
import pytest

from busfn import FunctionCall, errors
from busfn.binding import DEFAULT
from busfn.invoke.payloads import QUEUED_TTL, SPILL
from busfn.spec import MAX_DELAY
from busfn.streams import RETENTION

MONTH = 30 * 86_400


@pytest.mark.parametrize("at", [dt.datetime(2400, 1, 1), dt.date(2400, 1, 1), 4e9 + 1e12])
def test_far_start(at) -> None:
    """A start centuries away kept the server and the host busy; it is refused where it is said."""
    with pytest.raises(errors.InvalidError, match="`at` is"):
        durable.square.with_options(at=at)


def test_large_arguments_of_a_call_that_starts_late_live_as_long_as_it() -> None:
    call = durable.identity.with_options(delay=MONTH).spawn(bytes(2 * SPILL))
    link = DEFAULT.require("a test").link
    stream, queues = link.subjects.stream("BLOB"), link.bus.queues
    try:
        token = call.object_id.rpartition(".")[2]
        held = link.portal.run(queues.subjects(stream, f"{link.subjects.blob_prefix}.*.ref.{token}.*"))
        (name,) = {subject.split(".")[3] for subject in held}
        chunks = link.portal.run(queues.subjects(stream, f"{link.subjects.blob_prefix}.{name}.*"))
        assert chunks
        for subject in (*held, *chunks):
            stored = link.portal.run(queues.latest(stream, subject))
            assert stored is not None
            assert float(stored.headers["Nats-TTL"].removesuffix("s")) >= MONTH + RETENTION
    finally:
        call.cancel()
    assert QUEUED_TTL >= MAX_DELAY + RETENTION


def test_how_many_inputs_a_late_call_has_outlives_the_results_of_others() -> None:
    call = durable.square.with_options(delay=MONTH).spawn_map(range(5))
    link = DEFAULT.require("a test").link
    try:
        ref = call.ref
        size = link.subjects.size(ref.target.app, ref.target.function, ref.call)
        link.portal.run(link.bus.queues.purge(link.subjects.stream("RES"), size))  # as it goes after a week
        assert FunctionCall.from_id(call.object_id).num_inputs() == 5
    finally:
        call.cancel()


def test_a_wait_for_no_number_of_seconds_is_refused() -> None:
    call = durable.square.spawn(2)
    with pytest.raises(errors.InvalidError, match="timeout"):
        call.get(timeout=float("nan"))
    assert call.get(timeout=30) == 4
