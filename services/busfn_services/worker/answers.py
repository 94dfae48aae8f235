"""What a worker sends back, built on the main thread: encoding user values runs user code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from busfn.errors import Error, SerializationError
from busfn.protocol.codecs import JSON, Codecs
from busfn.protocol.envelope import Answer, Call, Status
from busfn_services.handon import EMPTY, failure_answer


class AnswerBuilder:
    """Builds the answers of one worker."""

    def __init__(self, codecs: Codecs, worker: str) -> None:
        self._codecs = codecs
        self._worker = worker

    def value(self, call: Call, value: object, took: float, offset: int = 0) -> Answer:
        """The answer to a single input; a value that cannot be sent becomes that input's failure."""
        index = call.index + offset
        answer = Answer(status=Status.OK, payload=EMPTY, call=call.call, index=index, worker=self._worker, took=took)
        accept = call.accept or (call.payload.content_type or JSON if call.foreign else "")
        try:
            payload = self._codecs.encode(value, scope=answer.scope(), what="result", accept=accept)
        except Error as error:
            return self.failure(call, index, error)
        return answer.copy(payload=payload)

    def block(self, call: Call, offset: int, values: Sequence[Any], took: float) -> list[Answer]:
        """The answer to consecutive inputs of a chunk; one by one when they cannot be sent together."""
        answer = Answer(
            status=Status.OK, payload=EMPTY, call=call.call, index=call.index + offset, count=len(values),
            worker=self._worker, took=took,
        )  # fmt: skip
        try:
            return [answer.copy(payload=self._codecs.encode(list(values), scope=answer.scope(), what="results"))]
        except SerializationError as error:
            if len(values) == 1:
                return [self.failure(call, answer.index, error)]
        return [one for i, value in enumerate(values) for one in self.block(call, offset + i, [value], took)]

    def failure(self, call: Call, index: int, error: BaseException, count: int = 0) -> Answer:
        """The answer that raises ``error`` at the caller."""
        return failure_answer(self._codecs, call, index, error, count, self._worker)
