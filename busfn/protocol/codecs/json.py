"""JSON, for callers without our SDK."""

from __future__ import annotations

import json
import math
from typing import Any

from busfn.errors import ProtocolError, SerializationError
from busfn.protocol.forms.plain import NotPlain, plain


def encode(value: object) -> bytes:
    """JSON text. Raises `SerializationError` for what JSON cannot say: NaN and infinities, text with lone surrogates,
    keys that are no text or would be there twice, and objects without a form as data."""
    try:
        return json.dumps(plain(value), ensure_ascii=False, allow_nan=False).encode()
    except NotPlain as error:
        where = f"its part {error.path}: " if error.path else ""
        raise SerializationError(f"the value cannot be sent as JSON: {where}{error.reason}") from None
    except RecursionError:
        raise SerializationError("the value cannot be sent as JSON: it is nested too deeply, or holds itself") from None
    except Exception as error:  # a property or a model's own code may raise anything
        raise SerializationError(f"the value cannot be sent as JSON: {error}") from None


def decode(data: bytes) -> Any:
    """The value of JSON text. Raises `ProtocolError` with the place of the mistake."""
    try:
        return json.loads(data, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise ProtocolError("this JSON is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ProtocolError(f"this is not JSON: byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ProtocolError(f"this is not JSON: {error.msg} at character {error.pos}") from None
    except ValueError as error:
        raise ProtocolError(f"this is not JSON: {error}") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:50]} is more than a float can hold")
    return number
