"""How results of calls that came together are put into answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.errors import ProtocolError
from busfn.protocol.codecs import MSGPACK, PICKLE, PICKLES, Codecs, Payload, msgpack, pickle
from busfn.protocol.codecs.extensions import MAX_INTEGER
from busfn.protocol.envelope import Call
from busfn_services.worker.answers import MOST_BLOCK, AnswerBuilder, blocks_of

CALL = Call(call="c", payload=Payload(content_type="", body=b""), index=100)


def plain(offset: int, size: int = 1) -> tuple[int, Payload]:
    return offset, Payload(content_type=MSGPACK, body=msgpack.pack("x" * size))


def pickled(offset: int) -> tuple[int, Payload]:
    return offset, Payload(content_type=PICKLE, body=pickle.dumps(offset))


def offsets(results: list[tuple[int, Payload]]) -> list[list[int]]:
    return [[offset for offset, _ in block] for block in blocks_of(results)]


def test_consecutive_plain_values_go_together() -> None:
    assert offsets([plain(0), plain(1), plain(2)]) == [[0, 1, 2]]


def test_a_gap_divides() -> None:
    assert offsets([plain(0), plain(1), plain(3)]) == [[0, 1], [3]]


def test_pickles_do_not_go_with_plain_values() -> None:
    assert offsets([plain(0), pickled(1), pickled(2), plain(3), plain(4)]) == [[0], [1, 2], [3, 4]]


def test_a_large_value_stands_alone_and_many_small_ones_are_divided() -> None:
    assert offsets([plain(0), plain(1, MOST_BLOCK), plain(2)]) == [[0], [1], [2]]
    assert offsets([plain(i, MOST_BLOCK // 4) for i in range(6)]) == [[0, 1, 2], [3, 4, 5]]


def test_nothing_gives_no_answers() -> None:
    assert AnswerBuilder(Codecs(), "w").joined(CALL, [], 0.1) == []


@given(st.lists(st.one_of(st.integers(), st.text(max_size=5), st.lists(st.booleans(), max_size=3))))
def test_blocks_hold_the_values_in_order(values: list[object]) -> None:
    codecs = Codecs()
    results = [(i, codecs.encode(value, scope="")) for i, value in enumerate(values)]
    answers = AnswerBuilder(codecs, "w").joined(CALL, results, 0.1)
    assert [value for answer in answers for value in codecs.decode(answer.payload, scope="")] == values
    assert [answer.index for answer in answers] == ([100] if values else [])


def test_pickled_results_are_signed_together() -> None:
    codecs = Codecs(key=b"key")
    [answer] = AnswerBuilder(codecs, "w").joined(CALL, [pickled(7), pickled(8)], 0.1)
    assert (answer.index, answer.count, answer.payload.content_type) == (107, 2, PICKLES)
    assert codecs.decode(answer.payload, scope=answer.scope()) == [7, 8]
    with pytest.raises(ProtocolError, match="wrong signature"):
        codecs.decode(answer.payload, scope="answer c 108")


def test_of_results_that_cannot_all_be_sent_the_others_are() -> None:
    huge = 1 << (8 * MAX_INTEGER)
    answers = AnswerBuilder(Codecs(), "w").block(CALL, 3, [1, huge, "a", [2]], 0.1)
    assert [(answer.index, answer.count, answer.code) for answer in answers] == [
        (103, 1, 0),
        (104, 1, 500),
        (105, 2, 0),
    ]
    assert "integer" in answers[1].text
    assert Codecs().decode(answers[2].payload, scope="") == ["a", [2]]


def test_singles_hold_what_was_encoded_and_what_was_not() -> None:
    codecs = Codecs(key=b"key")
    builder = AnswerBuilder(codecs, "w")
    values = [1, builder.encoded(CALL, [[2]]), builder.encoded(CALL, object), 1 << (8 * MAX_INTEGER)]
    answers = builder.singles(CALL, 0, values, 0.1)
    assert [(answer.index, answer.count) for answer in answers] == [(100 + i, 0) for i in range(4)]
    opened = [codecs.decode(answer.payload, scope=answer.scope()) for answer in answers]
    assert opened == [1, [[2]], object, 1 << (8 * MAX_INTEGER)]
