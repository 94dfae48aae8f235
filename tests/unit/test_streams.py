from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.bus.patterns import matches, overlap
from busfn.protocol.subjects import Subjects
from busfn.streams import LOG_BYTES, OVERFLOW_BYTES, consumers, streams

names = st.text("abzAZ09_-", min_size=1, max_size=6)
functions = st.lists(names, min_size=1, max_size=2).map(".".join)
environments = names.map(Subjects)
MAIN = Subjects("main")


def by_name(subjects: Subjects):
    return {spec.name: spec for spec in streams(subjects)}


def test_an_environment_has_these_streams():
    specs = by_name(MAIN)
    assert {name: spec.subjects for name, spec in specs.items()} == {
        "BUSFN_main_JOBS": ("busfn.main.job.>",),
        "BUSFN_main_DELAYED": ("busfn.main.delayed.>",),
        "BUSFN_main_OVF": ("busfn.main.ovf.>",),
        "BUSFN_main_BLOB": ("busfn.main.blob.>",),
        "BUSFN_main_RES": ("busfn.main.res.>",),
        "BUSFN_main_DEAD": ("busfn.main.dead.>",),
        "BUSFN_main_LOGS": ("busfn.main.log.>",),
    }


def test_what_waits_is_kept_until_it_is_acked_and_refused_when_full():
    specs = by_name(MAIN)
    for name in ("BUSFN_main_JOBS", "BUSFN_main_DELAYED", "BUSFN_main_OVF"):
        assert (specs[name].kind, specs[name].discard_new) == ("work", True)


def test_queued_inputs_are_in_files_and_interactive_calls_in_bounded_memory():
    specs = by_name(MAIN)
    assert not specs["BUSFN_main_JOBS"].memory
    assert specs["BUSFN_main_OVF"].memory
    assert specs["BUSFN_main_OVF"].max_bytes == OVERFLOW_BYTES
    assert specs["BUSFN_main_OVF"].allow_ttl


def test_large_payloads_are_read_directly_and_expire():
    spec = by_name(MAIN)["BUSFN_main_BLOB"]
    assert (spec.kind, spec.memory, spec.allow_direct, spec.allow_ttl) == ("log", False, True, True)


def test_the_oldest_lines_of_full_logs_go_and_none_is_refused():
    spec = by_name(MAIN)["BUSFN_main_LOGS"]
    assert (spec.kind, spec.memory, spec.discard_new, spec.allow_direct) == ("log", False, False, True)
    assert (spec.max_age, spec.max_bytes) == (7 * 24 * 3600, LOG_BYTES)


@given(environments, names, functions)
def test_no_stream_captures_an_interactive_call(subjects, app, function):
    for spec in streams(subjects):
        for captured in spec.subjects:
            assert not matches(captured, subjects.function(app, function))
            assert not overlap(captured, subjects.all_of("fn"))


@pytest.mark.parametrize("kind", ["fn", "hb", "host", "ask", "wake", "ctl", "live", "tail"])
def test_what_is_kept_by_nobody_is_captured_by_no_stream(kind):
    for spec in streams(MAIN):
        assert not any(overlap(captured, MAIN.all_of(kind)) for captured in spec.subjects)


@given(environments, names, functions, names)
def test_what_waits_is_captured_by_its_stream_and_told_to_whoever_serves_the_function(subjects, app, function, call):
    specs = by_name(subjects)
    for kind, subject in (("JOBS", subjects.job(app, function, call)), ("OVF", subjects.overflow(app, function))):
        spec = specs[subjects.stream(kind)]
        assert [name for name, one in specs.items() if matches(one.subjects[0], subject)] == [spec.name]
        source, destination, headers_only = spec.republish
        assert (source, headers_only) == (spec.subjects[0], True)
        told = destination.removesuffix(">") + subject.removeprefix(source.removesuffix(">"))
        assert [matches(pattern, told) for pattern in subjects.wakes(app, function)] == [kind == "OVF", kind == "JOBS"]
        assert not any(matches(pattern, told) for pattern in subjects.wakes(f"{app}x", function))
        assert not any(matches(pattern, told) for pattern in subjects.wakes(app, f"{function}x"))


@given(environments)
def test_what_is_republished_is_not_stored_again(subjects):
    for spec in streams(subjects):
        if spec.republish is not None:
            destination = spec.republish[1]
            assert not any(overlap(captured, destination) for one in streams(subjects) for captured in one.subjects)


def test_large_payloads_are_told_to_nobody():
    assert by_name(MAIN)["BUSFN_main_BLOB"].republish is None


@given(environments, environments)
def test_environments_share_nothing(one, other):
    if one == other:
        return
    assert not set(by_name(one)) & set(by_name(other))
    for spec in streams(one):
        for foreign in streams(other):
            assert not any(overlap(a, b) for a in spec.subjects for b in foreign.subjects)


@given(environments, names, functions)
def test_a_function_pulls_handed_on_calls_first_and_then_queued_inputs(subjects, app, function):
    overflow, jobs = consumers(subjects, app, function)
    assert (overflow.stream, jobs.stream) == (subjects.stream("OVF"), subjects.stream("JOBS"))
    assert matches(overflow.subject, subjects.overflow(app, function))
    assert matches(jobs.subject, subjects.job(app, function, "c1"))
    specs = by_name(subjects)
    for consumer in (overflow, jobs):
        assert not {".", "*", ">", " "} & set(consumer.name)
        assert overlap(consumer.subject, specs[consumer.stream].subjects[0])


@given(environments, st.tuples(names, functions), st.tuples(names, functions))
def test_consumers_of_two_functions_differ_and_share_no_message(subjects, one, other):
    if one == other:
        return
    for mine, theirs in zip(consumers(subjects, *one), consumers(subjects, *other), strict=True):
        assert mine.name != theirs.name
        assert not overlap(mine.subject, theirs.subject)
