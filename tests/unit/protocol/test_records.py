"""Dataclasses from JSON of strangers: what they hold is as their annotations say, or they are refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.deployment import AppState, Deployment
from busfn.errors import Error, InvalidError, ProtocolError
from busfn.protocol.records import Items, Range, Text, from_plain, read_record
from busfn.spec import FunctionSpec, Scaling
from busfn_services.reports import (
    MAX_CORES,
    MAX_TEXT,
    Command,
    ControllerReport,
    Failure,
    ForkEvent,
    HostReport,
    LoopReport,
    WorkerEvent,
    WorkerReport,
    one_line,
    shorten,
)

MESSAGES = (HostReport, ControllerReport, Command, WorkerEvent, ForkEvent, AppState, Deployment)


@dataclass(frozen=True)
class Inner:
    text: Annotated[str, Text(5)]


@dataclass(frozen=True)
class Outer:
    flag: bool
    whole: Annotated[int, Range(-2, 9)]
    number: Annotated[float, Range(0, 1)] = 0.5
    word: Literal["a", "b"] = "a"
    perhaps: int | None = None
    inner: Inner | None = None
    several: Annotated[Sequence[Inner], Items(2)] = ()
    names: Mapping[str, int] = ()  # type: ignore[assignment]
    anything: Any = None

    def __post_init__(self) -> None:
        if self.whole == 7:
            raise InvalidError("seven does not go with the rest")


GOOD = {"flag": True, "whole": 3}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def read(**changes: object) -> Outer:
    return from_plain(Outer, {**GOOD, **changes}, "a thing")


def test_what_fits_is_read() -> None:
    assert read() == Outer(flag=True, whole=3)
    whole = {
        "number": 1, "word": "b", "perhaps": 4, "inner": {"text": "x"}, "several": [{"text": "y"}], "names": {"n": 1},
        "anything": [1], "newer": "is left out",
    }  # fmt: skip
    expected = Outer(True, 3, 1.0, "b", 4, Inner("x"), (Inner("y"),), {"n": 1}, [1])
    assert read(**whole) == expected
    assert type(read(number=1).number) is float


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flag", 1), ("flag", None), ("whole", True), ("whole", 10), ("whole", -3), ("whole", 1.0), ("whole", "1"),
        ("whole", 10**400), ("number", math.nan), ("number", math.inf), ("number", "a"), ("number", 1.01),
        ("word", "c"), ("word", 1), ("perhaps", "x"), ("inner", []), ("inner", {}), ("inner", {"text": "123456"}),
        ("inner", {"text": "\ud800"}), ("several", {}), ("several", "ab"), ("several", [{"text": ""}] * 3),
        ("several", [1]), ("names", [1]), ("names", {"n": "1"}), ("names", {"\udfff": 1}), ("whole", 7),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_named(name: str, value: object) -> None:
    with pytest.raises(ProtocolError, match=f"^a thing.*(\\.{name}|seven)"):
        read(**{name: value})


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000, b"1" * 10_000, b'{"flag": tru'])
def test_what_is_no_such_object_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"^a thing cannot be read"):
        read_record(Outer, body, "a thing")


@given(json_values)
def test_anything_is_read_or_refused(value: object) -> None:
    for kind in (Outer, FunctionSpec, *MESSAGES):
        try:
            from_plain(kind, value, "it")
        except ProtocolError:
            continue


GOOD_REPORT = HostReport(
    host="h1", machine="box", cores=2, failures=(Failure(app="a", version=1, function="f", text="no"),),
    workers=(WorkerReport(name="w1", pid=7, app="a@3", version=3, function="C.m", state="ready"),),
    loops=(LoopReport(name="scan", age=0.5, limit=30.0),),
)  # fmt: skip


@given(
    st.sampled_from(sorted(asdict(GOOD_REPORT))), st.sampled_from(sorted(asdict(GOOD_REPORT.workers[0]))), json_values
)
def test_a_report_with_one_strange_field_is_read_as_promised_or_refused(outer: str, inner: str, value: object) -> None:
    data = asdict(GOOD_REPORT)
    data["workers"][0][inner] = value
    for changed in (data, {**asdict(GOOD_REPORT), outer: value}):
        try:
            found = HostReport.decode(json.dumps(changed).encode())
        except ProtocolError:
            continue
        assert 0 <= found.cores <= MAX_CORES
        assert " " not in found.host
        for worker in found.workers:
            assert isinstance(worker.idle_for, float)
            assert math.isfinite(worker.idle_for)
            assert 0 <= worker.version < 1 << 32


def test_messages_are_read_as_they_were_written() -> None:
    assert HostReport.decode(GOOD_REPORT.encode()) == GOOD_REPORT
    command = Command(op="start", app="a", version=2, function="f", epoch=5)
    assert Command.decode(command.encode()) == command


@given(st.text(), st.integers(20, 400))
def test_a_text_for_a_report_is_shortened_so_that_it_can_be_read(text: str, most: int) -> None:
    failure = Failure(app="a", version=1, function="f", text=shorten(text * 50, most))
    loop = LoopReport(name=one_line(text), fault=one_line(text * 100))
    assert len(failure.text) <= max(most, 20)
    assert most < len(text) or shorten(text, most) == text.encode(errors="replace").decode()
    report = HostReport(host="h", machine="m", cores=1, failures=(failure,), loops=(loop,))
    assert HostReport.decode(report.encode()) == report


def test_long_texts_keep_both_ends() -> None:
    text = "begin" + "x" * 2 * MAX_TEXT + "end"
    assert shorten(text).startswith("begin")
    assert shorten(text).endswith("end")


def test_every_annotation_of_our_messages_is_supported() -> None:
    for kind in (FunctionSpec, Scaling, *MESSAGES):
        assert get_type_hints(kind)
        with pytest.raises(Error):
            from_plain(kind, None, "it")
