"""Exceptions on the wire: they always arrive, of the same class where that can be had, else as a `RemoteError`."""

from __future__ import annotations

from busfn import errors
from busfn.protocol.bad_call import BadCall
from busfn.protocol.codecs import MSGPACK, Codecs, Payload, msgpack
from busfn.protocol.exceptions.capture import Skip, bare, capture, summary
from busfn.protocol.exceptions.failure import Failure
from busfn.protocol.exceptions.rebuild import rebuild

__all__ = ["bare", "decode_failure", "encode_failure", "error_code", "summary"]


def encode_failure(codecs: Codecs, error: BaseException, *, scope: str, skip: Skip, worker: str = "") -> Payload:
    """An exception for the wire. Never raises, whatever the exception is, holds or does.

    All but its arguments and attributes is plain data; these are pickled, and signed, when they are not plain.
    """
    try:
        failure = capture(error, skip=skip, pack=codecs.pack_parts, worker=worker, main_module=codecs.main_module)
        value = failure.to_value(lambda parts: codecs.sign(_parts_scope(scope), parts))
        return Payload(content_type=MSGPACK, body=msgpack.pack(value))
    except BaseException:  # no memory, no stack, or a class that raises on purpose: what is left is its name
        return Payload(content_type=MSGPACK, body=msgpack.pack(bare(error, worker).to_value()))


def decode_failure(codecs: Codecs, payload: Payload, *, scope: str) -> BaseException:
    """The exception to raise for the caller: of the same class where that can be had, else a `RemoteError`.

    Raises `ProtocolError` for what is no failure.
    """

    def unpack(failure: Failure) -> object:
        return codecs.unpack_parts(failure, _parts_scope(scope))

    return rebuild(Failure.from_value(codecs.decode(payload, scope=scope)), unpack)


def _parts_scope(scope: str) -> str:
    """So that signed parts of an exception are never taken for a result."""
    return f"exception in {scope}"


def error_code(error: BaseException) -> int:
    """A number in the manner of HTTP for ``Nats-Service-Error-Code``."""
    for kind, code in _CODES:
        if issubclass(type(error), kind):
            return code
    return 500


_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (BadCall, 400),
    (errors.ProtocolError, 400),
    (errors.NotFoundError, 404),
    (errors.FunctionTimeoutError, 408),
    (errors.RequestSizeError, 413),
    (errors.ResourceExhaustedError, 429),
    (errors.InternalFailure, 503),
    (errors.ServiceError, 503),
    (errors.ConnectionError, 503),
)
