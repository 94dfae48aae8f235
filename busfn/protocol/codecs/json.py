"""JSON, for callers without our SDK."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Any, cast

from busfn.errors import ProtocolError, SerializationError
from busfn.protocol.shapes import is_dataclass, kind_of


def encode(value: object) -> bytes:
    """JSON text. Raises `SerializationError` for what JSON cannot say."""
    try:
        return json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False).encode()
    except Exception as error:  # a dataclass's or a model's own code may raise anything
        raise SerializationError(f"the value cannot be sent as JSON: {error}") from None


def decode(data: bytes) -> Any:
    """The value of JSON text. Raises `ProtocolError` with the place of the mistake."""
    try:
        return json.loads(data, parse_constant=_refuse_constant)
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


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return list(cast("set[Any]", value))
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    kind = kind_of(value)
    dump = getattr(kind, "model_dump", None)
    if dump is not None:  # a pydantic model
        return cast(Any, value).model_dump(mode="json")
    advice = " (encode bytes as text first)" if isinstance(value, bytes | bytearray) else ""
    raise TypeError(f"a {kind.__name__} is not JSON{advice}")
