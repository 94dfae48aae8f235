from __future__ import annotations

import pytest

from busfn.bus.frames import Inbound, encode_headers, parse_headers, publish_frame
from busfn.errors import InvalidError


@pytest.mark.parametrize(
    ("block", "headers"),
    [
        (b"NATS/1.0\r\nA: b\r\n\r\n", {"A": "b"}),
        (b"NATS/1.0\r\nA:b\r\nC:  d e \r\n\r\n", {"A": "b", "C": "d e"}),
        (b"NATS/1.0\r\nA: b: c\r\nEmpty:\r\n\r\n", {"A": "b: c", "Empty": ""}),
        (b"NATS/1.0 503\r\n\r\n", {"Status": "503"}),
        (b"NATS/1.0 404 No Messages\r\n\r\n", {"Status": "404", "Description": "No Messages"}),
        (
            b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 5\r\n\r\n",
            {"Status": "100", "Description": "Idle Heartbeat", "Nats-Last-Consumer": "5"},
        ),
        (b"NATS/1.0\r\nbroken\r\nA: b\r\n\r\n", {"A": "b"}),
        (b"NATS/1.0\r\nA: \xff\r\n\r\n", {"A": "�"}),
    ],
)
def test_parse_headers(block, headers):
    assert parse_headers(block) == headers


def test_headers_make_the_round_trip():
    headers = {"A": "b", "a": "c", "Text": "grün 日本", "Empty": ""}
    assert parse_headers(encode_headers(headers)) == headers


@pytest.mark.parametrize("headers", [{"A": "b\r"}, {"A": "b\nc"}, {"A:": "b"}, {"Ä": "b"}, {"": ""}, {"A\n": "b"}])
def test_headers_that_would_break_the_protocol(headers):
    with pytest.raises(InvalidError):
        encode_headers(headers)


def test_publish_frames():
    assert publish_frame("a.b", "", b"", b"xy") == b"PUB a.b  2\r\nxy\r\n"
    assert publish_frame("a", "r", b"", b"") == b"PUB a r 0\r\n\r\n"
    block = encode_headers({"K": "v"})
    assert block == b"NATS/1.0\r\nK: v\r\n\r\n"
    assert publish_frame("a", "r", block, b"xy") == b"HPUB a r 18 20\r\n" + block + b"xy\r\n"


@pytest.mark.parametrize(
    ("block", "status"), [(b"", ""), (b"NATS/1.0\r\nA: b\r\n\r\n", ""), (b"NATS/1.0 503\r\n\r\n", "503")]
)
def test_status(block, status):
    message = Inbound("a", "", b"", block)
    assert message.status == status
    assert message.headers.get("Status", "") == status
