"""Frames that anybody may have sent: whatever is in them, reading them succeeds or raises one of two errors."""

from __future__ import annotations

import datetime as dt
import decimal
import random
import traceback
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from mutations import Frame, mutate

from busfn.errors import DeserializationError, ProtocolError
from busfn.protocol.arguments import pack_arguments, unpack_arguments
from busfn.protocol.chunks import ChunkWriter, Inputs
from busfn.protocol.codecs import JSON, PICKLE, BlobRef, Codecs, Payload
from busfn.protocol.codecs.msgpack import pack
from busfn.protocol.control import cancel_headers, credit_headers, read_control
from busfn.protocol.envelope import Answer, Call, Status, read_answer, read_call
from busfn.protocol.exceptions.capture import capture
from busfn.protocol.exceptions.failure import Failure
from busfn.protocol.exceptions.rebuild import rebuild
from busfn.protocol.failure import decode_failure, encode_failure

FRAMES = 100_000
SIGNED = Codecs(b"k" * 32)
Read = Callable[[dict[str, str], bytes], object]

RICH = {
    "text": "é\ud800",
    "numbers": [0, -1, 1 << 40, 1 << 80, 1.5, float("nan"), decimal.Decimal("1.5"), 1j],
    "times": (
        dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), dt.date(2026, 1, 2), dt.time(1, 2), dt.timedelta(1, 2, 3),
    ),
    "sets": [{1, 2}, frozenset({(3, b"4")})],
    "id": uuid.UUID(int=77),
    (1, "key"): {None: True},
}  # fmt: skip


class Opaque:
    pass


def failing() -> BaseException:
    try:
        try:
            {}["missing"]
        except KeyError as cause:
            raise OSError(2, "no such file", "data.txt") from cause
    except OSError as error:
        error.add_note("a note")
        error.detail = [1, (2,)]  # type: ignore[attr-defined]
        return ExceptionGroup("several", [error, ValueError("bad"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")])


def call_frame(payload: Payload, **fields: Any) -> Frame:
    call = Call(call="c1", payload=payload, **fields)
    return call.headers(), payload.body


def answer_frame(payload: Payload, **fields: Any) -> Frame:
    answer = Answer(payload=payload, call="c1", worker="w1", **fields)
    return answer.headers(), payload.body


def open_call(headers: dict[str, str], body: bytes) -> object:
    call = read_call(headers, body, reply="inbox", call="made")
    call.headers()
    if not call.payload.content_type:
        return call
    scope = call.scope("app", "f")
    return all_inputs(call.payload, scope) if call.count else unpack_arguments(SIGNED.decode(call.payload, scope=scope))


def chunk_of(rows: list[tuple[Any, ...]], kwargs: dict[str, Any], scope: str, *, uniform: bool = True) -> Payload:
    writer = ChunkWriter(SIGNED, kwargs, uniform=uniform)
    return writer.chunk([writer.freeze(row) for row in rows], scope)


def all_inputs(payload: Payload, scope: str) -> list[object]:
    inputs = Inputs(SIGNED, payload, scope)
    return [inputs.arguments(place) for place in range(len(inputs))]


def open_answer(headers: dict[str, str], body: bytes) -> object:
    answer = read_answer(headers, body)
    answer.headers()
    if answer.status is Status.ERROR:
        return "".join(traceback.format_exception(decode_failure(SIGNED, answer.payload, scope=answer.scope())))
    return SIGNED.decode(answer.payload, scope=answer.scope()) if answer.payload.content_type else answer


def open_control(headers: dict[str, str], body: bytes) -> object:
    return read_control(headers)


def open_failure(headers: dict[str, str], body: bytes) -> object:
    payload = Payload(content_type=headers["Content-Type"], body=body, signature=headers.get("Busfn-Signature", ""))
    back = decode_failure(SIGNED, payload, scope="s")
    return "".join(traceback.format_exception(back))


def open_chunk(headers: dict[str, str], body: bytes) -> object:
    signature = headers.get("Busfn-Signature", "")
    return all_inputs(Payload(content_type=headers["Content-Type"], body=body, signature=signature), "s")


def frames() -> list[tuple[Frame, Read]]:
    scope = "call app.f c1 0"
    arguments = SIGNED.encode(pack_arguments([1, "two", RICH], {"key": (3,)}), scope=scope)
    chunk = chunk_of([(1, "a"), (2, "b"), (3, "c")], {"k": [1]}, scope)
    rows = chunk_of([(1,), ([[2]], 3), ()], {}, scope, uniform=False)
    opaque_rows = chunk_of([(1,), (Opaque(), 3)], {"k": Opaque()}, "s", uniform=False)
    pickled = SIGNED.encode([Opaque()], scope=scope)
    json = Payload(content_type=JSON, body=b'{"args": [1, 2.5e3, "\\u00e9\\ud800", null], "kwargs": {"a": [true]}}')
    blob = BlobRef(name="b1", size=10**6, chunks=2, sha256="ab" * 32)
    failure = encode_failure(SIGNED, failing(), scope="answer c1 0", skip=lambda file: False, worker="w1")
    known = encode_failure(SIGNED, failing(), scope="s", skip=lambda file: False)
    full = {
        "index": 3, "attempt": 2, "crashes": 1, "deadline": 1_800_000_000_000, "reply": "_INBOX.a.b", "parent": "p:1",
        "path": ("a.f", "a.g"), "accept": JSON, "trace": "00-ab-cd-01",
    }  # fmt: skip
    return [
        (call_frame(arguments), open_call),
        (call_frame(arguments, **full), open_call),
        (call_frame(chunk, count=3, select=(1, 3)), open_call),
        (call_frame(rows, count=3), open_call),
        (call_frame(pickled), open_call),
        (call_frame(json), open_call),
        (call_frame(Payload(content_type=PICKLE, body=b"", blob=blob)), open_call),
        (({}, json.body), open_call),
        (
            ({"content-type": "application/json; charset=utf-8", "accept": "*/*", "busfn-deadline": "5"}, b"[1]"),
            open_call,
        ),
        (({"Content-Type": "application/msgpack", "traceparent": "00-1"}, arguments.body), open_call),
        (answer_frame(SIGNED.encode(RICH, scope="answer c1 0"), status=Status.OK, took=0.25), open_answer),
        (answer_frame(SIGNED.encode([1, 2], scope="answer c1 0"), status=Status.ITEM, index=4, count=2), open_answer),
        (answer_frame(SIGNED.encode(Opaque(), scope="answer c1 0"), status=Status.OK), open_answer),
        (answer_frame(Payload(content_type="", body=b""), status=Status.END, count=9), open_answer),
        (answer_frame(Payload(content_type="", body=b""), status=Status.BEAT, sequence=7), open_answer),
        (answer_frame(failure, status=Status.ERROR, code=500, text="OSError: no such file"), open_answer),
        ((credit_headers(256, 1 << 20), b""), open_control),
        ((cancel_headers(), b""), open_control),
        (({"Status": "503"}, b""), open_control),
        (({"Content-Type": known.content_type}, known.body), open_failure),
        (({"Content-Type": chunk.content_type}, chunk.body), open_chunk),
        (
            ({"Content-Type": opaque_rows.content_type, "Busfn-Signature": opaque_rows.signature}, opaque_rows.body),
            open_chunk,
        ),
    ]


def test_every_frame_can_be_read_before_it_is_changed():
    for (headers, body), read in frames():
        if "Busfn-Blob" not in headers:  # its body is elsewhere
            read(headers, body)


def test_a_hundred_thousand_changed_frames_raise_nothing_else():
    source = random.Random(20261124)
    originals = frames()
    others = [headers for (headers, _), _ in originals]
    read_well = refused = 0
    for i in range(FRAMES):
        frame, read = originals[i % len(originals)]
        headers, body = mutate(source, frame, others)
        if read in (open_failure, open_chunk):
            headers = frame[0]
        try:
            read(headers, body)
        except (ProtocolError, DeserializationError):
            refused += 1
        except BaseException as error:
            pytest.fail(f"frame {i}, {read.__name__}({headers!r}, {body!r}) raised {type(error).__name__}: {error}")
        else:
            read_well += 1
    # else the changes would be too wild, or too tame, to test anything
    assert read_well > FRAMES // 10
    assert refused > FRAMES // 4


def odd_values(source: random.Random) -> list[Any]:
    return [
        None, True, 0, -1, 1, 1 << 70, 10**5000, 1.5, float("nan"), "", "x", "\ud800", "builtins:ValueError", "a\0b",
        b"", [], [[]], [None], ["f.py", 1, "f", "x"], {}, {1: 2}, {"__notes__": 1}, (1,), {1}, dt.date(2026, 1, 1),
        source.randrange(1 << 20), "builtins:" + source.choice(EXCEPTIONS),
    ]  # fmt: skip


EXCEPTIONS = [
    "BaseException", "ExceptionGroup", "BaseExceptionGroup", "UnicodeDecodeError", "UnicodeEncodeError", "OSError",
    "SyntaxError", "ImportError", "StopIteration", "SystemExit", "BlockingIOError", "MemoryError", "Warning", "object",
]  # fmt: skip


def replace_somewhere(source: random.Random, value: Any) -> Any:
    """A copy with one part, however deep, replaced by something odd."""
    if source.random() < 0.2 or not value or not isinstance(value, list | dict):
        return source.choice(odd_values(source))
    copy = value.copy()
    at = source.choice(list(copy)) if isinstance(copy, dict) else source.randrange(len(copy))
    copy[at] = replace_somewhere(source, copy[at])
    return copy


def test_failures_with_parts_of_wrong_types_raise_nothing_else():
    source = random.Random(7)
    original = capture(failing(), skip=lambda file: False, pack=SIGNED.pack_parts, worker="w").to_value()
    rebuilt = 0
    for _ in range(10_000):
        value = original
        for _ in range(source.choice([1, 1, 3])):
            value = replace_somewhere(source, value)
        try:
            back = rebuild(Failure.from_value(value), lambda failure: SIGNED.unpack_parts(failure, "s"))
        except ProtocolError:
            continue
        assert isinstance(back, Exception)
        "".join(traceback.format_exception(back))
        rebuilt += 1
    assert 700 < rebuilt < 9900


def test_chunks_with_parts_of_wrong_types_raise_nothing_else():
    source = random.Random(8)
    originals = [{"columns": [[1, 2], [3, 4]], "kwargs": {"a": 1}}, {"rows": [[1], [2, 3]], "kwargs": {"a": 1}}]
    unpacked = 0
    for i in range(5000):
        value = replace_somewhere(source, originals[i % 2])
        try:
            inputs = all_inputs(SIGNED.encode(value, scope="s"), "s")
        except ProtocolError:
            continue
        assert all(isinstance(args, tuple) and isinstance(kwargs, dict) for args, kwargs in inputs)
        unpacked += 1
    assert unpacked > 500


def test_random_bytes_are_no_message():
    source = random.Random(9)
    for size in range(2000):
        body = source.randbytes(size % 64)
        for kind in ("application/msgpack", JSON, PICKLE):
            try:
                SIGNED.decode(Payload(content_type=kind, body=body, signature="0" * 64), scope="s")
            except ProtocolError:
                continue
            assert kind != PICKLE


@pytest.mark.parametrize("depth", [10, 70, 500, 1100, 50_000])
@pytest.mark.parametrize("opening", [b"\x91", b"\x81\x01", b"\xdc\x00\x01", b"\x81\xc4\x00"])
def test_deep_nests_are_read_or_refused(opening, depth):
    try:
        SIGNED.decode(Payload(content_type="application/msgpack", body=opening * depth + b"\x01"), scope="s")
    except ProtocolError:
        assert depth > 64


def test_a_small_message_that_announces_much_is_refused():
    for body in (
        b"\xdd\x7f\xff\xff\xff",
        b"\xdf\x7f\xff\xff\xff",
        b"\xc6\x7f\xff\xff\xff",
        b"\xc9\x7f\xff\xff\xff\x01",
    ):
        with pytest.raises(ProtocolError):
            SIGNED.decode(Payload(content_type="application/msgpack", body=body), scope="s")


def test_plain_data_is_what_the_frames_are_made_of():
    # a guard for the tests above: the rich value really is packed, not pickled
    assert SIGNED.encode(RICH, scope="s").body == pack(RICH)
