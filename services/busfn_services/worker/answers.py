"""What a worker sends back, built on the main thread: encoding user values runs user code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from busfn.errors import Error, SerializationError
from busfn.protocol.codecs import JSON, Codecs
from busfn.protocol.envelope import Answer, Call, Status, answer_scope
from busfn_services.handon import failure_answer


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
            payload = self._codecs.encode(value, scope=answer_scope(call.call, index), what="result", accept=accept)
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

    def failure(self, call: Call, index: int, error: BaseException, count: int = 0) -> Answer:
        """The answer that raises ``error`` at the caller."""
        return failure_answer(self._codecs, call, index, error, count, self._worker)
