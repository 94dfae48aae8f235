from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.bus.frames import Inbound
from busfn.bus.parser import Parser
from busfn.errors import ProtocolError


class Heard:
    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def on_message(self, sid: int, message: Inbound) -> None:
        self.events.append((sid, message.subject, message.reply, message.body, dict(message.headers)))

    def on_control(self, line: bytes) -> None:
        self.events.append((line,))


HEAD = b"NATS/1.0\r\nA: b\r\n\r\n"
STREAM = (
    b'INFO {"a": 1}\r\nPING\r\n'
    b"MSG a.b 1 5\r\nhello\r\n"
    b"MSG a 22 r.1 0\r\n\r\n"
    b"+OK\r\n"
    b"HMSG h 3 18 20\r\n" + HEAD + b"xy\r\n"
    b"HMSG h 3 reply 18 18\r\n" + HEAD + b"\r\n"
    b"MSG bin 4 4\r\n\r\n\r\n\r\n"
    b"-ERR 'Some Error'\r\nPONG\r\n"
)
EVENTS = [
    (b'INFO {"a": 1}',),
    (b"PING",),
    (1, "a.b", "", b"hello", {}),
    (22, "a", "r.1", b"", {}),
    (b"+OK",),
    (3, "h", "", b"xy", {"A": "b"}),
    (3, "h", "reply", b"", {"A": "b"}),
    (4, "bin", "", b"\r\n\r\n", {}),
    (b"-ERR 'Some Error'",),
    (b"PONG",),
]


def test_a_stream_in_one_piece():
    heard = Heard()
    Parser(heard).feed(STREAM)
    assert heard.events == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_a_stream_in_any_pieces(cuts):
    heard = Heard()
    parser = Parser(heard)
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, stop in pairwise(edges):
        parser.feed(STREAM[start:stop])
    assert heard.events == EVENTS


def test_a_stream_byte_by_byte():
    heard = Heard()
    parser = Parser(heard)
    for place in range(len(STREAM)):
        parser.feed(STREAM[place : place + 1])
    assert heard.events == EVENTS


def test_long_messages_in_small_pieces_are_not_copied_again_and_again():
    heard = Heard()
    parser = Parser(heard)
    body = b"x" * 3_000_000
    stream = b"MSG a 1 3000000\r\n" + body + b"\r\nMSG a 1 1\r\ny\r\n"
    for place in range(0, len(stream), 1000):
        parser.feed(stream[place : place + 1000])
    assert [event[3] for event in heard.events] == [body, b"y"]


@pytest.mark.parametrize(
    "line", [b"MSG a\r\n", b"MSG a b c\r\n", b"HMSG a 1 5\r\n", b"MSG a x 5\r\nhello\r\n", b"MSG a 1 r s 1\r\n"]
)
def test_malformed_lines(line):
    with pytest.raises(ProtocolError):
        Parser(Heard()).feed(line)


def test_an_endless_line():
    parser = Parser(Heard())
    parser.feed(b"x" * (1 << 20))
    with pytest.raises(ProtocolError):
        parser.feed(b"x")
