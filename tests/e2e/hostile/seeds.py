"""Well-formed messages for every kind of subject that a process of ours subscribes to: what the fuzzer starts from."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mutations import mutate
from wire import Frame

from busfn.protocol.arguments import pack_arguments
from busfn.protocol.codecs import JSON, PICKLE, BlobRef, Codecs, Payload
from busfn.protocol.control import Cancellation, cancel_headers, credit_headers
from busfn.protocol.envelope import Answer, Call, Status, call_scope
from busfn.protocol.failure import encode_failure
from busfn_services.reports import Command, HostReport, WorkerReport

UNSIGNED = Codecs(None)
INBOX = "_INBOX.fuzz.answers"
WILD = ("*", ">")
Message = tuple[dict[str, str], bytes]


@dataclass(frozen=True)
class Target:
    """A subject that a process of ours listens to, with the messages that belong there."""

    subject: str
    """May end in a wildcard, which a random token replaces."""
    messages: Sequence[Message]


def targets(subscribed: Sequence[str], env: str, app: str) -> list[Target]:
    """What to publish to, for all subscriptions of a stack and for what lies behind its streams.

    Raises `LookupError` for a subscription of a kind that has no messages here: whoever adds one adds them.
    """
    prefix = f"busfn.{env}."
    found: dict[str, Target] = {}
    for subject in subscribed:
        kind = _kind(subject, prefix)
        found[subject] = Target(subject, KINDS[kind](app))
    for subject, kind in _stored(env, app).items():
        found[subject] = Target(subject, KINDS[kind](app))
    return list(found.values())


def _stored(env: str, app: str) -> dict[str, str]:
    """Nobody subscribes to these, but they are kept in streams and buckets that our processes read."""
    prefix, table = f"busfn.{env}", f"$KV.BUSFN_{env}_APPS"
    return {
        f"{prefix}.job.{app}.noisy.*": "fn",
        f"{prefix}.job.{app}.items.*": "fn",
        f"{prefix}.ovf.{app}.noisy": "fn",
        f"{prefix}.delayed.{app}.noisy.*.*": "fn",
        f"{prefix}.ovf.@.{app}.noisy.*": "fn",
        f"{prefix}.res.{app}.*.0": "answer",
        f"{prefix}.res.{app}.*.child.0.c1": "answer",
        f"{prefix}.dead.{app}.noisy.*.0": "fn",
        f"{prefix}.log.{app}.noisy.*": "log",
        f"{prefix}.blob.*.0": "bytes",
        f"{table}.app.*": "row",
        f"{table}.version.*.1": "row",
        f"{table}.scale.*.noisy": "row",
        f"{table}.pin.*.1": "row",
        f"{table}.run.*": "row",
    }


def _kind(subject: str, prefix: str) -> str:
    if subject.startswith(prefix):
        return subject.removeprefix(prefix).split(".")[0]
    return subject.split(".")[0]


def frame(source: random.Random, where: Sequence[Target]) -> Frame:
    """A message to one of the targets, changed three times out of four."""
    target = source.choice(where)
    headers, body = source.choice(target.messages)
    if source.random() < 0.75:
        others = [other for other, _ in source.choice(where).messages]
        headers, body = mutate(source, (headers, body), others)
    return Frame(_concrete(source, target.subject), headers, body, _reply(source))


def _concrete(source: random.Random, subject: str) -> str:
    *tokens, last = subject.split(".")
    if (last == "*" and ".delayed." in subject) or ".ovf.@." in subject:
        last = source.choice((str(int(time.time() * 1000) + source.randrange(3000)), "9" * 15, "1"))
    return ".".join(_fresh(source) if token in WILD else token for token in [*tokens, last])


def _fresh(source: random.Random) -> str:
    return source.choice(
        (f"{source.getrandbits(128):032x}", "a-b", "x" * 100, "é", "-", "0", f"h{source.randrange(9)}")
    )


def _reply(source: random.Random) -> str:
    return source.choice((INBOX, INBOX, INBOX, "", "busfn.main.fn.app.f", "$JS.API.INFO", "_INBOX", "_INBOXx.y"))


# What belongs to which kind of subject


def _calls(app: str) -> list[Message]:
    scope = call_scope(app, "noisy", "c1")
    values = UNSIGNED.encode(pack_arguments([1, "two"], {}), scope=scope)
    now = int(time.time() * 1000)
    full = {
        "index": 3, "attempt": 2, "crashes": 1, "deadline": now + 10**9, "not_before": now + 200, "reply": INBOX,
        "parent": "p:1", "path": (f"{app}.noisy",), "accept": JSON, "trace": "00-ab-cd-01",
    }  # fmt: skip
    blob = Payload(content_type=PICKLE, body=b"", blob=BlobRef(name="b1", size=10**6, chunks=2, sha256="ab" * 32))
    calls = [
        Call(call="c1", payload=values, reply=INBOX),
        Call(call="c1", payload=values, **full),
        Call(call="c1", payload=values, count=2, reply=INBOX),
        Call(call="c1", payload=blob, reply=INBOX),
        Call(call="c1", payload=Payload(content_type=JSON, body=b'[1, "two"]'), reply=INBOX, crashes=2),
    ]
    plain: list[Message] = [
        ({}, b""),
        ({}, b"[3]"),
        ({}, b'{"args": [1], "kwargs": {"text": "\\ud800"}}'),
        ({"Content-Type": "application/msgpack"}, values.body),
        ({"Content-Type": PICKLE, "Busfn-Signature": "ab" * 32}, b"cos\nsystem\n(S'true'\ntR."),
        ({"Busfn-Reply": "busfn.main.fn.x y"}, b"[4]"),
        ({"Busfn-Not-Before": "4000000000000000000"}, b"[5]"),
    ]
    return [*((call.headers(), call.payload.body) for call in calls), *plain]


def _answers(app: str) -> list[Message]:
    value = UNSIGNED.encode([1, 2], scope="answer c1 0")
    failure = encode_failure(UNSIGNED, ValueError("bad"), scope="answer c1 0", skip=lambda file: False)
    nothing = Payload(content_type="", body=b"")
    answers = [
        Answer(status=Status.OK, payload=value, call="c1", worker="w1", took=0.25),
        Answer(status=Status.ITEM, payload=value, call="c1", index=4, count=2),
        Answer(status=Status.END, payload=nothing, call="c1", count=9),
        Answer(status=Status.BEAT, payload=nothing, call="c1", sequence=7),
        Answer(status=Status.LOST, payload=nothing, call="c1", count=1),
        Answer(status=Status.ERROR, payload=failure, call="c1", code=500, text="ValueError: bad"),
    ]
    return [(answer.headers(), answer.payload.body) for answer in answers]


def _inbox(app: str) -> list[Message]:
    """What may come to an inbox: answers, calls that are delivered, words of the server and of consumers."""
    acknowledged = {"stream": "BUSFN_main_JOBS", "seq": 10**9}
    lag = {"num_pending": 1, "num_ack_pending": 2, "config": {}, "delivered": {"consumer_seq": 1, "stream_seq": 1}}
    words: list[Message] = [
        ({"Status": "503"}, b""),
        ({"Status": "408", "Description": "Request Timeout"}, b""),
        ({"Status": "409", "Description": "Consumer Deleted"}, b""),
        ({"Status": "100", "Description": "Idle Heartbeat"}, b""),
        ({}, json.dumps(acknowledged).encode()),
        ({}, json.dumps(lag).encode()),
        ({}, b'{"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}'),
        (credit_headers(256, 1 << 20), b""),
        (cancel_headers(), b""),
    ]
    return [*_calls(app), *_answers(app), *words]


def _controls(app: str) -> list[Message]:
    calls = [f"{random.Random(number).getrandbits(128):032x}" for number in range(3)]
    return [({}, Cancellation(call, terminate).encode()) for call in calls for terminate in (False, True)]


def _covers(app: str) -> list[Message]:
    """Not ``stands``: whoever may publish that here is entitled to take the workers' place."""
    return [({}, b"over"), ({}, b"")]


def _questions(app: str) -> list[Message]:
    return [({}, b""), ({}, b"noisy"), ({}, b"items"), ({}, b"{}")]


def _reports(app: str) -> list[Message]:
    worker = WorkerReport(name="w1", pid=1, app=app, version=1, function="noisy", state="ready", idle_for=3.0)
    ready = HostReport(host="h1", machine="m", cores=2, workers=(worker,))
    return [({}, ready.encode()), ({}, HostReport(host="h 2", machine="m", cores=100_000).encode())]


def _commands(app: str) -> list[Message]:
    commands = (
        Command(op="report"),
        Command(op="ping"),
        Command(op="start", app=app, version=99, function="noisy", epoch=1),
        Command(op="drain", worker="w0"),
        Command(op="kill", worker="w0", epoch=10**18),
    )
    return [({}, command.encode()) for command in commands]


def _rows(app: str) -> list[Message]:
    state = {"version": 1, "stopped": False}
    scale = {"version": 1, "settings": {"min_containers": 1}}
    return [
        ({}, b"{}"),
        ({}, json.dumps(state).encode()),
        ({}, json.dumps(scale).encode()),
        ({}, json.dumps({"app": app, "version": 1, "functions": [], "signature": "é"}).encode()),
        ({"KV-Operation": "DEL"}, b""),
    ]


def _logs(app: str) -> list[Message]:
    return [({"Busfn-Output": "out", "Busfn-Worker": "w1", "Busfn-Time": "1"}, b"a line\n\x1b[31mred")]


def _bytes(app: str) -> list[Message]:
    return [({}, b"x" * 100)]


def _signals(app: str) -> list[Message]:
    return [({}, b""), ({"Nats-Sequence": "1", "Nats-Msg-Size": "9"}, b"")]


def _delays(app: str) -> list[Message]:
    due = int(time.time() * 1000) + 500
    subject = f"busfn.main.delayed.{app}.noisy.c1.{due}"
    return [({"Nats-Stream": "BUSFN_main_DELAYED", "Nats-Subject": subject, "Nats-Sequence": "7"}, b"")]


def _troubles(app: str) -> list[Message]:
    return [({}, b'{"failures": 2, "text": "no module named x"}')]


KINDS: dict[str, Callable[[str], list[Message]]] = {
    "fn": _calls,
    "ctl": _controls,
    "cover": _covers,
    "ask": _questions,
    "hb": _reports,
    "host": _commands,
    "registry": _signals,
    "wake": _signals,
    "tail": _signals,
    "delay": _delays,
    "down": _troubles,
    "live": _answers,
    "$SRV": _signals,
    "_INBOX": _inbox,
    "answer": _answers,
    "log": _logs,
    "bytes": _bytes,
    "row": _rows,
}
