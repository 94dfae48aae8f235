"""What a worker's log tells of inputs that failed."""

from __future__ import annotations

import pytest

from busfn.protocol.codecs import Payload
from busfn.protocol.envelope import Call
from busfn.spec import FunctionSpec
from busfn_services.marks import Owner
from busfn_services.worker.failures import MAX_TEXT, MAX_TRACEBACKS, FailureLog

SPEC = FunctionSpec(app="shop", name="f", source={}, qualname="f")
CALL = Call(call="c1", payload=Payload(content_type="", body=b""), index=3)


class Log:
    def __init__(self) -> None:
        self.told: list[tuple[Owner, str]] = []
        self._log = FailureLog(SPEC, lambda owner, text: self.told.append((owner, text.decode())))

    def fail(self, error: BaseException, *, durable: bool = True, delay: float | None = None) -> str:
        """What is written; nothing when nothing is."""
        before = len(self.told)
        self._log.report(CALL, "c1", 3, error, durable=durable, delay=delay)
        return "".join(text for _, text in self.told[before:])


@pytest.fixture
def log() -> Log:
    return Log()


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_the_traceback_and_the_call_are_told(log):
    text = log.fail(raised(ValueError("no")))
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("ValueError: no\nbusfn: call shop.f.c1, input 3, has failed\n")
    assert log.told[0][0] == Owner("c1", 3, answered=False)


def test_what_is_tried_again_is_told_so_even_when_a_caller_waits(log):
    text = log.fail(ValueError("no"), durable=False, delay=1.5)
    assert text == "ValueError: no\nbusfn: attempt 1 failed and is tried again in 1.5 s\n"
    assert not log.told[0][0].answered


def test_what_a_caller_is_answered_is_marked_so(log):
    assert log.fail(ValueError("no"), durable=False) == "ValueError: no\n"
    assert log.told[0][0].answered


def test_many_failures_are_told_in_few_words_and_those_of_callers_not_at_all(log, monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 7.0)
    for _ in range(MAX_TRACEBACKS):
        assert "Traceback" in log.fail(raised(ValueError("no")))
    assert log.fail(raised(ValueError("no"))) == "ValueError: no\nbusfn: call shop.f.c1, input 3, has failed\n"
    assert log.fail(raised(ValueError("no")), durable=False) == ""
    monkeypatch.setattr("time.monotonic", lambda: 8.0)
    assert "Traceback" in log.fail(raised(ValueError("no")))


class Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Lying(Exception):
    @property
    def __notes__(self):
        raise RuntimeError("no notes")


@pytest.mark.parametrize(
    "error", [Hostile(), Lying(), ValueError("\ud800"), SyntaxError("x", (1, 2, 3, 4)), SystemExit(3)]
)
def test_whatever_an_error_does_its_class_is_told(log, monkeypatch, error):
    monkeypatch.setattr("time.monotonic", lambda: 7.0)
    for _ in range(MAX_TRACEBACKS + 1):
        assert type(error).__name__ in log.fail(error)


def test_a_text_without_end_is_cut(log):
    assert len(log.fail(ValueError("x" * 10**6))) < MAX_TEXT + 200
