"""How results of calls that came together are put into answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from busfn.protocol.codecs import MSGPACK, PICKLE, Codecs, Payload, msgpack
from busfn.protocol.envelope import Call
from busfn_services.worker.answers import MOST_BLOCK, AnswerBuilder, blocks_of

CALL = Call(call="c", payload=Payload(content_type="", body=b""), index=100)


def plain(offset: int, size: int = 1) -> tuple[int, Payload]:
    return offset, Payload(content_type=MSGPACK, body=msgpack.pack("x" * size))


def pickled(offset: int) -> tuple[int, Payload]:
    return offset, Payload(content_type=PICKLE, body=b"p", signature="s")


def offsets(results: list[tuple[int, Payload]]) -> list[list[int]]:
    return [[offset for offset, _ in block] for block in blocks_of(results)]


def test_consecutive_plain_values_go_together() -> None:
    assert offsets([plain(0), plain(1), plain(2)]) == [[0, 1, 2]]


def test_a_gap_divides() -> None:
    assert offsets([plain(0), plain(1), plain(3)]) == [[0, 1], [3]]


def test_a_pickle_stands_alone() -> None:
    assert offsets([plain(0), pickled(1), pickled(2), plain(3), plain(4)]) == [[0], [1], [2], [3, 4]]


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


def test_a_pickled_result_is_answered_as_a_single_value() -> None:
    [answer] = AnswerBuilder(Codecs(), "w").joined(CALL, [pickled(7)], 0.1)
    assert (answer.index, answer.count, answer.payload.signature) == (107, 0, "s")
