"""What a worker sends back, built on the main thread: encoding user values runs user code."""

from __future__ import annotations

from collections.abc import Sequence

from busfn.errors import SerializationError
from busfn.invoke.payloads import SPILL
from busfn.protocol.codecs import JSON, Codecs, Payload
from busfn.protocol.envelope import Answer, Call, Status, answer_scope
from busfn_services.handon import failure_answer
from busfn_services.worker.job import Result

MOST_BLOCK = 64 * 1024
"""Bytes of values that are put into one answer, unless a single one is larger."""


class AnswerBuilder:
    """Builds the answers of one worker."""

    def __init__(self, codecs: Codecs, worker: str) -> None:
        self._codecs = codecs
        self._worker = worker

    def encoded(self, call: Call, value: object) -> Payload:
        """A result as it is now, for `value` or `joined`. Raises `SerializationError`."""
        if not call.foreign and not call.accept:
            return self._codecs.encode_part(value, what="result", apart=SPILL)
        accept = call.accept or call.payload.content_type or JSON
        scope = answer_scope(call.call, call.index)
        return self._codecs.encode(value, scope=scope, what="result", accept=accept)

    def value(self, call: Call, payload: Payload, took: float, offset: int = 0) -> Answer:
        """The answer to a single input."""
        return self._answer(call, call.index + offset, payload, 0, took)

    def block(self, call: Call, offset: int, values: Sequence[object], took: float) -> list[Answer]:
        """Answers to consecutive inputs of a chunk; values that are not encoded yet are encoded together."""
        if Payload not in map(type, values):
            try:
                scope = answer_scope(call.call, call.index + offset)
                payload = self._codecs.encode(list(values), scope=scope, what="results")
                return [self._answer(call, call.index + offset, payload, len(values), took)]
            except SerializationError:  # one of them cannot be sent
                pass
        return self._apart(call, offset, values, took)

    def singles(self, call: Call, offset: int, values: Sequence[object], took: float) -> list[Answer]:
        """An answer to each of consecutive inputs; values may be encoded."""
        return [self._single(call, value, took, offset + i) for i, value in enumerate(values)]

    def joined(self, call: Call, results: Sequence[Result], took: float) -> list[Answer]:
        """Answers to inputs of one message, in order, those of one kind in blocks."""
        answers: list[Answer] = []
        for block in blocks_of(results):
            (offset, payload), count = block[0], len(block)
            if payload.end:
                answers.append(self.value(call, payload, took, offset))
            else:
                scope = answer_scope(call.call, call.index + offset)
                payload = self._codecs.join([one for _, one in block], scope=scope)
                answers.append(self._answer(call, call.index + offset, payload, count, took))
        return answers

    def failure(self, call: Call, index: int, error: BaseException, count: int = 0) -> Answer:
        """The answer that raises ``error`` at the caller."""
        return failure_answer(self._codecs, call, index, error, count, self._worker)

    def _apart(self, call: Call, offset: int, values: Sequence[object], took: float) -> list[Answer]:
        answers: list[Answer] = []
        results: list[Result] = []
        for place, value in enumerate(values, offset):
            try:
                results.append((place, value if isinstance(value, Payload) else self.encoded(call, value)))
            except SerializationError as error:
                answers += self.joined(call, results, took)
                answers.append(self.failure(call, call.index + place, error, 1))
                results = []
        return answers + self.joined(call, results, took)

    def _single(self, call: Call, value: object, took: float, offset: int) -> Answer:
        try:
            payload = value if isinstance(value, Payload) else self.encoded(call, value)
        except SerializationError as error:
            return self.failure(call, call.index + offset, error)
        return self.value(call, payload, took, offset)

    def _answer(self, call: Call, index: int, payload: Payload, count: int, took: float) -> Answer:
        signed = self._codecs.signed(payload, answer_scope(call.call, index))
        return Answer(
            status=Status.OK, payload=signed, call=call.call, index=index, count=count, worker=self._worker, took=took
        )


def blocks_of(results: Sequence[Result]) -> list[list[Result]]:
    """Runs of consecutive values of one kind, plain or pickled, and of bounded size."""
    blocks: list[list[Result]] = []
    size = 0
    for offset, payload in results:
        last = blocks[-1][-1] if blocks else None
        fits = last is not None and last[0] + 1 == offset and last[1].content_type == payload.content_type
        if fits and size + payload.size <= MOST_BLOCK:
            blocks[-1].append((offset, payload))
            size += payload.size
        else:
            blocks.append([(offset, payload)])
            size = payload.size
    return blocks
