from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.bus.frames import encode_headers
from busfn.errors import ProtocolError
from busfn.protocol.border import (
    MAX_ATTEMPT,
    MAX_CRASHES,
    MAX_INDEX,
    MAX_MOMENT,
    MAX_SEQUENCE,
    is_inbox,
    one_line,
    parse_text,
)
from busfn.protocol.codecs import JSON, MSGPACK, PICKLE, BlobRef, Payload
from busfn.protocol.envelope import MOST_COUNT, MOST_TEXT, Answer, Call, Status, read_answer, read_call
from busfn.protocol.fields import ANSWERS, CALLS, ERRORS, PAYLOAD

# What a header can carry: the bus strips spaces at both ends, and no line breaks.
texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=30).map(str.strip)
tokens = st.from_regex(r"[A-Za-z0-9_.:-]{1,30}", fullmatch=True)
ids = st.from_regex(r"[A-Za-z0-9]{1,32}", fullmatch=True)
inboxes = st.one_of(st.just(""), st.from_regex(r"_INBOX[a-z_]{0,5}(\.[A-Za-z0-9_+-]{1,20}){1,3}", fullmatch=True))
# What is foreign is read as leniently as HTTP has it: types without parameters, in small letters.
kinds = st.sampled_from(["", MSGPACK, JSON, PICKLE])


def numbers(most):
    return st.one_of(st.integers(0, 5), st.integers(0, most), st.just(most))


counts = st.integers(0, MOST_COUNT)
blobs = st.builds(
    BlobRef,
    name=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    size=st.integers(0, 10**18 - 1),
    chunks=st.integers(0, 10**9 - 1),
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
)
payloads = st.builds(
    Payload,
    content_type=st.sampled_from(["", MSGPACK, JSON, PICKLE]),
    body=st.binary(max_size=20),
    signature=st.one_of(st.just(""), st.from_regex(r"[0-9a-f]{64}", fullmatch=True)),
    blob=st.one_of(st.none(), blobs),
)


@st.composite
def foreign_calls(draw):
    body = draw(st.binary(max_size=20))
    kind = draw(st.sampled_from([JSON, MSGPACK, "text/plain"])) if body else ""
    return Call(
        call=draw(ids),
        payload=Payload(content_type=kind, body=body),
        attempt=draw(numbers(MAX_ATTEMPT)),
        crashes=draw(numbers(MAX_CRASHES)),
        deadline=draw(numbers(MAX_MOMENT)),
        not_before=draw(numbers(MAX_MOMENT)),
        reply=draw(inboxes),
        accept=draw(st.sampled_from(["", JSON, MSGPACK])),
        trace=draw(traces),
        foreign=True,
    )


traces = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)


@st.composite
def calls(draw):
    count = draw(counts)
    select = None
    if count:
        low = draw(st.integers(0, count - 1))
        select = draw(st.one_of(st.none(), st.integers(low + 1, count).map(lambda high: (low, high))))
    return Call(
        call=draw(ids),
        payload=draw(payloads),
        index=draw(numbers(MAX_INDEX)),
        count=count,
        select=select,
        attempt=draw(numbers(MAX_ATTEMPT)),
        crashes=draw(numbers(MAX_CRASHES)),
        deadline=draw(numbers(MAX_MOMENT)),
        not_before=draw(numbers(MAX_MOMENT)),
        reply=draw(inboxes),
        parent=draw(texts),
        path=tuple(draw(st.lists(tokens, max_size=3))),
        accept=draw(st.sampled_from(["", JSON, MSGPACK])),
        trace=draw(traces),
    )


answers = st.builds(
    Answer,
    status=st.sampled_from(Status),
    payload=payloads,
    call=ids,
    index=numbers(MAX_INDEX),
    count=counts,
    worker=texts,
    function=texts,
    sequence=numbers(MAX_SEQUENCE),
    took=st.one_of(st.just(0.0), st.integers(1, 10**12).map(lambda ns: ns / 1e9)),
)


@given(st.one_of(calls(), foreign_calls()))
def test_a_call_is_read_as_it_was_written(call):
    assert read_call(call.headers(), call.payload.body, call="unused") == call


@given(st.one_of(calls(), foreign_calls()), st.sampled_from([str.lower, str.upper, str.title]))
def test_a_call_is_read_as_it_was_written_whatever_became_of_the_case_of_its_headers(call, change):
    headers = {change(name): text for name, text in call.headers().items()}
    assert read_call(headers, call.payload.body, call="unused") == call


@given(foreign_calls())
def test_what_is_written_onto_a_foreign_call_is_read_by_whoever_gets_it_next(call):
    # an attempt, a crash and a pause later: nothing of it is forgotten on the way through a stream
    again = call.copy(attempt=min(call.attempt + 1, MAX_ATTEMPT), crashes=1, not_before=1_800_000_000_000)
    headers = again.headers()
    assert "Busfn-Protocol" not in headers
    read = read_call(headers, again.payload.body, call="other")
    assert (read.attempt, read.crashes, read.not_before) == (again.attempt, 1, 1_800_000_000_000)
    assert (read.call, read.deadline, read.reply, read.foreign) == (call.call, call.deadline, call.reply, True)


def test_every_row_of_the_table_names_a_field_and_a_header_of_its_own():
    for rows, record in ((CALLS, Call), (ANSWERS + ERRORS, Answer)):
        assert {row.name for row in rows} <= {field.name for field in dataclasses.fields(record)}
        both = rows + PAYLOAD
        assert len({row.header for row in both}) == len(both) == len({row.name for row in both})
    named = {row.name for row in CALLS} | {"payload", "foreign"}
    assert {field.name for field in dataclasses.fields(Call)} <= named


@pytest.mark.parametrize("header", ["Busfn-Attempt", "Busfn-Not-Before", "Busfn-Reply", "busfn-reply"])
@pytest.mark.parametrize("ours", [True, False])
def test_what_only_queued_calls_have_is_refused_on_a_plain_one(header, ours):
    headers = ({"Busfn-Protocol": "1", "Busfn-Call": "c"} if ours else {}) | {
        header: "_INBOX.a" if "eply" in header else "7"
    }
    with pytest.raises(ProtocolError, match="not for callers"):
        read_call(headers, b"", call="c", reply="_INBOX.own", queued=False)


def test_a_header_that_is_there_twice_is_refused():
    with pytest.raises(ProtocolError, match="Busfn-Crashes is there twice"):
        read_call({"Busfn-Crashes": "1", "busfn-crashes": "2"}, b"", call="c")


@pytest.mark.parametrize("name", ["Busfn-Count", "Busfn-Select", "Busfn-Parent", "Busfn-Path", "Busfn-Blob"])
def test_headers_of_the_protocol_mean_nothing_without_it(name):
    assert read_call({name: "??"}, b"4", call="c") == read_call({}, b"4", call="c")


@pytest.mark.parametrize(
    "reply",
    [
        "_INBOX.one x", "_INBOX.", "_INBOX", "INBOX.a", "_INBOX.*", "_INBOX.a.>", "_INBOX..a", "_INBOX.a\tb",
        "busfn.main.fn.a.f", "_INBOX." + "x" * 300, "_INBOX.a.", "_INBOX.é", "$JS.API.INFO",
    ],
)  # fmt: skip
def test_a_reply_that_is_no_inbox_is_refused(reply):
    with pytest.raises(ProtocolError, match="Busfn-Reply must be an inbox") as caught:
        read_call({"Busfn-Protocol": "1", "Busfn-Call": "c", "Busfn-Reply": reply}, b"", call="c")
    assert len(str(caught.value)) < 200
    assert not is_inbox(reply)


@pytest.mark.parametrize("reply", ["_INBOX.a", "_INBOX.alice.x1.7", "_INBOX_alice.Ab-_+,~.9", "_INBOX.$x"])
def test_inboxes_of_all_kinds_of_clients_are_taken(reply):
    assert is_inbox(reply)


@given(st.text(st.characters(codec=None), max_size=40), st.integers(0, 20))
def test_one_line_is_what_a_header_can_carry(text, most):
    line = one_line(text, most)
    assert len(line) <= most
    assert parse_text("x", line, most) == line == line.strip()
    line.encode()


@given(st.text(st.sampled_from("ab \ud800\udfff\r\né\x1b"), max_size=20))
def test_an_answer_with_any_text_can_be_sent(text):
    answer = Answer(status=Status.ERROR, payload=Payload(content_type="", body=b""), call="c", worker=text, text=text)
    encode_headers(answer.copy(function=text).headers())


@given(answers)
def test_an_answer_is_read_as_it_was_written(answer):
    read = read_answer(answer.headers(), answer.payload.body)
    assert read.took == pytest.approx(answer.took, abs=1e-9)
    assert read.copy(took=answer.took) == answer


@given(st.integers(0, 999), st.text(max_size=80))
def test_an_error_has_its_code_and_text_as_one_line_of_ascii(code, text):
    answer = Answer(status=Status.ERROR, payload=Payload(content_type="", body=b""), code=code, text=text)
    read = read_answer(answer.headers(), b"")
    assert read.code == code
    assert read.text.isascii()
    assert len(read.text) <= MOST_TEXT
    assert read.text == " ".join(text.encode("ascii", "backslashreplace").decode().split())[:MOST_TEXT]


def test_a_long_error_text_is_cut():
    answer = Answer(status=Status.ERROR, payload=Payload(content_type="", body=b""), text="x" * 10_000)
    assert answer.headers()["Nats-Service-Error"] == "x" * MOST_TEXT


def test_an_answer_that_is_no_error_has_no_error_headers():
    answer = Answer(status=Status.OK, payload=Payload(content_type="", body=b""), code=500, text="x")
    assert not any(name.startswith("Nats-Service-Error") for name in answer.headers())


hostile = st.text(st.sampled_from("ab \r\n\x85\u2028é"), max_size=12)


@given(hostile, hostile, hostile, hostile, hostile)
def test_no_header_of_a_call_has_a_line_break(one, other, third, kind, signature):
    call = Call(
        call="c",
        payload=Payload(content_type=kind, body=b"", signature=signature),
        reply=one,
        parent=other,
        path=(third, one),
        accept=third,
        trace=one,
    )
    for value in call.headers().values():
        assert "\r" not in value
        assert "\n" not in value


@given(hostile, hostile, hostile)
def test_no_header_of_an_answer_has_a_line_break(worker, other, text):
    payload = Payload(content_type=other, body=b"")
    answer = Answer(status=Status.ERROR, payload=payload, call="c", worker=worker, function=other, text=text)
    for value in answer.headers().values():
        assert "\r" not in value
        assert "\n" not in value


def test_a_foreign_line_feed_does_not_survive_handing_on():
    # the server passes a lone line feed in a value, and the bus refuses to write one
    call = read_call({"traceparent": "00-a\nX-Evil: 1", "Accept": "a\nb"}, b"1", reply="", call="c")
    assert call.headers().keys() == {"Busfn-Call", "Content-Type"}
    with pytest.raises(ProtocolError):
        read_call({"Busfn-Reply": "_INBOX.in\rbox"}, b"1", reply="", call="c")


def test_what_is_apart_cannot_be_forgotten():
    payload = Payload(content_type="application/msgpack", body=b"head", end=b"end")
    for message in (Call(call="c", payload=payload), Answer(status=Status.OK, payload=payload)):
        with pytest.raises(AssertionError, match="apart"):
            message.headers()


def test_defaults_take_no_headers():
    call = Call(call="c1", payload=Payload(content_type="", body=b""))
    assert call.headers() == {"Busfn-Protocol": "1", "Busfn-Call": "c1"}
    answer = Answer(status=Status.OK, payload=Payload(content_type="", body=b""), call="c1")
    assert answer.headers() == {"Busfn-Status": "ok", "Busfn-Call": "c1"}


def test_every_field_of_calls_and_answers_is_given_a_value_in_these_tests():
    # so that a new field cannot be forgotten in the round trips above
    assert {f.name for f in dataclasses.fields(Call)} == {
        "call", "payload", "index", "count", "select", "attempt", "crashes", "deadline", "not_before",
        "reply", "parent", "path",
        "accept", "trace", "foreign",
    }  # fmt: skip
    assert {f.name for f in dataclasses.fields(Answer)} == {
        "status", "payload", "call", "index", "count", "worker", "code", "text", "function", "sequence", "took",
    }  # fmt: skip


def test_the_reply_header_wins_over_the_reply_subject():
    headers = {"Busfn-Protocol": "1", "Busfn-Call": "c"}
    assert read_call(headers, b"", reply="inbox", call="").reply == "inbox"
    assert read_call(headers | {"Busfn-Reply": "_INBOX.own"}, b"", reply="inbox", call="").reply == "_INBOX.own"


def test_scopes_tell_calls_and_answers_functions_and_inputs_apart():
    payload = Payload(content_type="", body=b"")
    call, answer = Call(call="c", payload=payload), Answer(status=Status.OK, payload=payload, call="c")
    scopes = {
        call.scope("a", "f"),
        call.scope("a", "g"),
        call.scope("b", "f"),
        call.copy(index=1).scope("a", "f"),
        call.copy(call="d").scope("a", "f"),
        answer.scope(),
        answer.copy(index=1).scope(),
        answer.copy(call="d").scope(),
    }
    assert len(scopes) == 8


# Foreign calls


def test_no_headers_at_all_is_a_json_call():
    call = read_call({}, b"4", reply="inbox", call="made")
    assert call == Call(call="made", payload=Payload(content_type=JSON, body=b"4"), reply="inbox", foreign=True)


@pytest.mark.parametrize("kind", ["", JSON, MSGPACK])
def test_an_empty_body_is_no_arguments_whatever_its_type(kind):
    call = read_call({"Content-Type": kind} if kind else {}, b"", reply="", call="made")
    assert call.payload == Payload(content_type="", body=b"")


@pytest.mark.parametrize("name", ["Content-Type", "content-type", "CONTENT-TYPE"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("application/msgpack", MSGPACK),
        ("Application/MsgPack", MSGPACK),
        ("application/json; charset=utf-8", JSON),
        (" application/json ;x", JSON),
        (";", JSON),
        ("text/plain", "text/plain"),
    ],
)
def test_a_foreign_content_type_in_any_spelling(name, value, kind):
    assert read_call({name: value}, b"1", reply="", call="c").payload.content_type == kind


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title, str])
def test_foreign_header_names_are_read_in_any_case(change):
    headers = {
        change("Busfn-Call"): "abc1",
        change("Busfn-Deadline"): "17",
        change("Busfn-Crashes"): "2",
        change("Busfn-Reply"): "_INBOX.own",
        change("traceparent"): "00-1",
        change("accept"): "application/msgpack",
    }
    call = read_call(headers, b"1", reply="inbox", call="made")
    assert (call.call, call.deadline, call.crashes, call.reply) == ("abc1", 17, 2, "_INBOX.own")
    assert (call.trace, call.accept, call.foreign) == ("00-1", MSGPACK, True)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", ""),
        ("*/*", ""),
        ("application/json", JSON),
        ("application/json, */*", JSON),
        ("text/html, application/json;q=0.9", JSON),
        ("Application/Msgpack", MSGPACK),
        ("text/html", ""),
        (PICKLE, ""),
    ],
)
def test_what_a_foreign_caller_accepts(accept, kind):
    assert read_call({"Accept": accept}, b"1", reply="", call="c").accept == kind


def test_a_foreign_call_stays_foreign_when_it_is_passed_on():
    headers = {"content-type": "application/msgpack", "busfn-deadline": "99", "busfn-crashes": "1", "traceparent": "t"}
    call = read_call(headers, b"\x01", reply="_INBOX.a", call="made")
    assert "Busfn-Protocol" not in call.headers()
    assert read_call(call.headers(), call.payload.body, reply="", call="other") == call


@pytest.mark.parametrize("name", ["Busfn-Deadline", "busfn-deadline", "busfn-crashes"])
def test_a_bad_number_in_a_foreign_call_is_refused(name):
    with pytest.raises(ProtocolError, match="must be a whole number"):
        read_call({name: "soon"}, b"1", reply="", call="c")


# Refusals

OURS = {"Busfn-Protocol": "1", "Busfn-Call": "c1"}
BAD_NUMBERS = [
    "",
    "-1",
    "+1",
    "1.5",
    "1e3",
    "0x1",
    " 1",
    "1 ",
    "1_0",
    "one",
    "\u0661",
    "\u00b2",
    str((1 << 62) + 1),
    "9" * 5000,
]


@pytest.mark.parametrize("text", BAD_NUMBERS)
@pytest.mark.parametrize("name", ["Index", "Count", "Attempt", "Crashes", "Deadline"])
def test_a_bad_number_in_a_call_is_refused(name, text):
    with pytest.raises(ProtocolError, match=f"Busfn-{name} must be a whole number") as caught:
        read_call(OURS | {f"Busfn-{name}": text}, b"", reply="", call="")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", BAD_NUMBERS)
@pytest.mark.parametrize("name", ["Busfn-Index", "Busfn-Count", "Busfn-Sequence", "Nats-Service-Error-Code"])
def test_a_bad_number_in_an_answer_is_refused(name, text):
    with pytest.raises(ProtocolError, match=f"{name} must be a whole number"):
        read_answer({"Busfn-Status": "ok", name: text}, b"")


def test_a_chunk_of_too_many_inputs_is_refused():
    read_call(OURS | {"Busfn-Count": str(MOST_COUNT)}, b"", reply="", call="")
    with pytest.raises(ProtocolError, match="Busfn-Count"):
        read_call(OURS | {"Busfn-Count": str(MOST_COUNT + 1)}, b"", reply="", call="")


@pytest.mark.parametrize(
    "text", ["", ":", "1", "1:", ":1", "1:1", "2:1", "0:5", "4:5", "-1:2", "0:1:2", "a:b", "0:01x"]
)
def test_a_bad_range_is_refused(text):
    with pytest.raises(ProtocolError, match="Busfn-Select"):
        read_call(OURS | {"Busfn-Count": "4", "Busfn-Select": text}, b"", reply="", call="")


def test_a_range_of_no_chunk_is_refused():
    with pytest.raises(ProtocolError, match="Busfn-Select must be a range inside the chunk"):
        read_call(OURS | {"Busfn-Select": "0:1"}, b"", reply="", call="")


def test_a_range_of_the_whole_chunk_is_allowed():
    headers = OURS | {"Busfn-Count": "4", "Busfn-Select": "0:4"}
    assert read_call(headers, b"", reply="", call="").select == (0, 4)


@pytest.mark.parametrize("text", ["inf", "nan", "-1", "1e3", "", "1.", ".5", "x", "1_0", "9" * 400])
def test_a_duration_is_digits(text):
    headers = {"Busfn-Status": "ok", "Busfn-Took": text}
    if text == "":
        assert read_answer(headers, b"").took == 0.0
    else:
        with pytest.raises(ProtocolError, match="Busfn-Took must be a number of seconds") as caught:
            read_answer(headers, b"")
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("version", ["", "0", "2", "1.0", " 1", "x" * 1000])
def test_another_protocol_version_is_refused(version):
    with pytest.raises(ProtocolError, match="is not supported; this side speaks 1") as caught:
        read_call(OURS | {"Busfn-Protocol": version}, b"", reply="", call="")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("call", ["", "a" * 33, "a.b", "a*", ">", "a b", "a\n", "ä", "a-b"])
def test_a_call_id_that_could_not_be_a_subject_token_is_refused(call):
    with pytest.raises(ProtocolError, match="Busfn-Call must be"):
        read_call({"Busfn-Protocol": "1", "Busfn-Call": call}, b"", reply="", call="")


def test_a_call_of_ours_without_an_id_is_refused():
    with pytest.raises(ProtocolError, match="Busfn-Call must be"):
        read_call({"Busfn-Protocol": "1"}, b"", reply="", call="made")


@pytest.mark.parametrize("status", ["", "OK", "done", "x" * 1000])
def test_an_unknown_status_is_refused(status):
    with pytest.raises(ProtocolError, match="which is unknown") as caught:
        read_answer({"Busfn-Status": status}, b"")
    assert len(str(caught.value)) < 200


SHA = "0" * 64


@pytest.mark.parametrize(
    "blob",
    [
        "x",
        f"n,1,1,{SHA},",
        f"n,-1,1,{SHA}",
        f"n,1,-1,{SHA}",
        f"n,1,+1,{SHA}",
        f"n,1_0,1,{SHA}",
        f"n, 1,1,{SHA}",
        f",1,1,{SHA}",
        f"a.b,1,1,{SHA}",
        f">,1,1,{SHA}",
        f"*,1,1,{SHA}",
        f"n,1,1,{SHA}\n",
        f"n,{'9' * 5000},1,{SHA}",
        "n,1,1,abc",
        f"n,1,1,{'G' * 64}",
    ],
)
def test_a_bad_blob_reference_is_refused(blob):
    with pytest.raises(ProtocolError, match="a blob reference is") as caught:
        read_call(OURS | {"Busfn-Blob": blob}, b"", reply="", call="")
    assert len(str(caught.value)) < 300
