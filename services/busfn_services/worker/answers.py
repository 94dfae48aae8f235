"""What a worker sends back, built on the main thread: encoding user values runs user code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from busfn.errors import Error, SerializationError
from busfn.invoke.payloads import SPILL
from busfn.protocol.codecs import JSON, MSGPACK, Codecs, Payload
from busfn.protocol.codecs.msgpack import pack_items
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

    def value(self, call: Call, value: object, took: float, offset: int = 0) -> Answer:
        """The answer to a single input; a value that cannot be sent becomes that input's failure."""
        index = call.index + offset
        accept = call.accept or (call.payload.content_type or JSON if call.foreign else "")
        try:
            scope = answer_scope(call.call, index)
            payload = self._codecs.encode(value, scope=scope, what="result", accept=accept, apart=SPILL)
        except Error as error:
            return self.failure(call, index, error)
        return Answer(status=Status.OK, payload=payload, call=call.call, index=index, worker=self._worker, took=took)

    def block(self, call: Call, offset: int, values: Sequence[Any], took: float) -> list[Answer]:
        """The answer to consecutive inputs of a chunk; one by one when they cannot be sent together."""
        index = call.index + offset
        try:
            payload = self._codecs.encode(list(values), scope=answer_scope(call.call, index), what="results")
        except SerializationError as error:
            if len(values) == 1:
                return [self.failure(call, index, error)]
            return [one for i, value in enumerate(values) for one in self.block(call, offset + i, [value], took)]
        answer = Answer(
            status=Status.OK, payload=payload, call=call.call, index=index, count=len(values),
            worker=self._worker, took=took,
        )  # fmt: skip
        return [answer]

    def joined(self, call: Call, results: Sequence[Result], took: float) -> list[Answer]:
        """Answers to calls that came together, in order: plain values in blocks, others one by one."""
        answers: list[Answer] = []
        for block in blocks_of(results):
            offset, payload = block[0]
            if payload.content_type == MSGPACK:
                payload = Payload(content_type=MSGPACK, body=pack_items([one.body for _, one in block]))
            answers.append(
                Answer(
                    status=Status.OK, payload=payload, call=call.call, index=call.index + offset, worker=self._worker,
                    count=len(block) if payload.content_type == MSGPACK else 0, took=took,
                )
            )  # fmt: skip
        return answers

    def result(self, call: Call, value: object, offset: int) -> Payload:
        """A value for `joined`; raises what cannot be sent."""
        return self._codecs.encode(value, scope=answer_scope(call.call, call.index + offset), what="result")

    def failure(self, call: Call, index: int, error: BaseException, count: int = 0) -> Answer:
        """The answer that raises ``error`` at the caller."""
        return failure_answer(self._codecs, call, index, error, count, self._worker)


def blocks_of(results: Sequence[Result]) -> list[list[Result]]:
    """Runs of consecutive plain values of bounded size; what had to be pickled stands alone."""
    blocks: list[list[Result]] = []
    size = 0
    for offset, payload in results:
        plain = payload.content_type == MSGPACK
        last = blocks[-1][-1] if blocks else None
        fits = last is not None and plain and last[1].content_type == MSGPACK and last[0] + 1 == offset
        if fits and size + len(payload.body) <= MOST_BLOCK:
            blocks[-1].append((offset, payload))
            size += len(payload.body)
        else:
            blocks.append([(offset, payload)])
            size = len(payload.body)
    return blocks
