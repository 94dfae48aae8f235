"""Values to bytes and back: msgpack for plain data, signed pickle for the rest, JSON for foreign callers."""

from __future__ import annotations

import hashlib
import hmac
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from busfn.errors import Error, ProtocolError, SerializationError
from busfn.protocol.codecs import json, msgpack, pickle
from busfn.protocol.codecs.msgpack import NotPlain
from busfn.protocol.codecs.unpacking import slice_list, unpack, unpack_apart
from busfn.protocol.exceptions.capture import Nested
from busfn.protocol.exceptions.failure import PICKLED, PLAIN, Failure
from busfn.protocol.forms.plain import NotPlain as NoForm
from busfn.protocol.forms.plain import plain
from busfn.protocol.shapes import is_list

MSGPACK = "application/msgpack"
PICKLE = "application/vnd.busfn.pickle"
PICKLES = "application/vnd.busfn.pickles"
"""msgpack in which bytes stand for values that are pickled, each on its own; signed as a whole."""
JSON = "application/json"

_BLOB = re.compile(r"([A-Za-z0-9_-]{1,96}),([0-9]{1,18}),([0-9]{1,9}),([0-9a-f]{64})")
_REFERENCE = re.compile(r"([A-Za-z0-9]{1,40}(\.[A-Za-z0-9]{1,40})?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRef:
    """Where a body that does not fit into a message is kept."""

    name: str
    size: int
    chunks: int
    sha256: str
    reference: str = ""
    """Holds it, when others may hold it, too: ``OWNER.PART``, or just ``OWNER``."""

    def encode(self) -> str:
        """As it stands in the ``Busfn-Blob`` header."""
        return f"{self.name},{self.size},{self.chunks},{self.sha256}"

    @classmethod
    def decode(cls, text: str, reference: str = "") -> BlobRef:
        """Reads the header, and the one with the reference; raises `ProtocolError`."""
        found = _BLOB.fullmatch(text)
        if found is None:
            raise ProtocolError(f"a blob reference is `name,size,chunks,sha256`, not {text[:200]!r}")
        name, size, chunks, sha256 = found.groups()
        checked = check_reference(reference)
        return cls(name=name, size=int(size), chunks=int(chunks), sha256=sha256, reference=checked)


def check_reference(text: str) -> str:
    """The text, if it is what holds a blob; raises `ProtocolError`."""
    if _REFERENCE.fullmatch(text) is None:
        raise ProtocolError(f"the holder of a blob is `owner.part`, of letters and digits, not {text[:200]!r}")
    return text


@dataclass(slots=True, kw_only=True)
class Payload:
    """An encoded value. Never changed, only copied; freezing costs more than all the rest of making one."""

    content_type: str
    body: bytes
    signature: str = ""
    blob: BlobRef | None = None
    """Set while the body is kept elsewhere, or its end is: it goes behind ``body``."""
    end: bytes = b""
    """The end of the body, when it is large and left apart, so that nothing copies it. Not sent, but kept elsewhere."""

    @property
    def reference(self) -> str:
        """What holds the blob; empty without one."""
        return self.blob.reference if self.blob is not None else ""

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self.body) + len(self.end)

    def whole(self) -> Payload:
        """With the end in its place."""
        return replace(self, body=self.body + self.end, end=b"") if self.end else self


@dataclass(frozen=True, slots=True)
class Unreadable:
    """In place of a value that cannot be decoded."""

    error: Error


@dataclass(frozen=True, slots=True)
class Codecs:
    """Encodes and decodes values; holds the key that makes pickle acceptable."""

    key: bytes | None = field(default=None, repr=False)
    main_module: str = ""
    """Name under which the other side knows our ``__main__``."""

    def encode(
        self, value: object, *, scope: str, what: str = "value", accept: str = "", apart: int = sys.maxsize
    ) -> Payload:
        """Bytes that carry the value exactly. ``scope`` says which message it is for, ``what`` names it in errors;
        leave it empty for packed arguments, which name themselves. Of a value that is to be read by busfn, bytes of
        more than ``apart`` at the end are left apart.

        Raises `SerializationError`, with the path of the offender, before anything is sent.
        """
        if accept == JSON:
            return Payload(content_type=JSON, body=json.encode(value))
        if accept == MSGPACK:  # asked for by name: by somebody who cannot read our pickles
            return _msgpack_of(value, what)
        return self.signed(self.encode_part(value, what=what, apart=apart), scope)

    def encode_part(self, value: object, *, what: str, apart: int = sys.maxsize) -> Payload:
        """`encode` for a value whose message is not known yet: it is to be given to `signed` or `join` afterwards."""
        if self.key is not None and msgpack.is_opaque(value):
            return Payload(content_type=PICKLE, body=self._pickled(value, what))
        try:
            body, end = msgpack.pack_apart(value, apart)
            return Payload(content_type=MSGPACK, body=body, end=end)
        except NotPlain as error:
            return Payload(content_type=PICKLE, body=self._pickled(value, what, error))

    def encode_item(self, value: object, *, what: str) -> bytes:
        """A value as an element of packed data: as it is, or, when it is not plain, its pickle as bytes."""
        if self.key is not None and msgpack.is_opaque(value):
            return msgpack.pack_bytes(self._pickled(value, what))
        try:
            return msgpack.pack(value)
        except NotPlain as error:
            return msgpack.pack_bytes(self._pickled(value, what, error))

    def signed(self, payload: Payload, scope: str) -> Payload:
        """What a pickle needs to be accepted: a signature for the message that ``scope`` says."""
        if payload.signature or payload.content_type not in (PICKLE, PICKLES):
            return payload
        return replace(payload, signature=self.sign(scope, payload.body, payload.content_type))

    def join(self, parts: Sequence[Payload], *, scope: str) -> Payload:
        """A list of values that are either all plain or all pickled."""
        if parts[0].content_type == MSGPACK:
            return Payload(content_type=MSGPACK, body=msgpack.pack_items([part.whole().body for part in parts]))
        body = msgpack.pack_items([msgpack.pack_bytes(part.body) for part in parts])
        return self.signed(Payload(content_type=PICKLES, body=body), scope)

    def decode(self, payload: Payload, *, scope: str) -> Any:
        """The value. A pickle is touched only after its signature was verified.

        Raises `ProtocolError` for what cannot be read or trusted, `DeserializationError` for a missing module.
        """
        if payload.content_type == MSGPACK:
            return unpack_apart(payload.body, payload.end) if payload.end else unpack(payload.body)
        payload = payload.whole()
        if payload.content_type == JSON:
            return json.decode(payload.body)
        self.verify(payload, scope)
        if payload.content_type == PICKLE:
            return pickle.loads(payload.body)
        return [pickle.loads(item) for item in _pickles(payload.body)]

    def pack_parts(self, parts: object, nested: Nested) -> tuple[str, bytes]:
        """Arguments and attributes of an exception: the codec, and the bytes; raises what cannot be carried."""
        if self.key is None:
            return PLAIN, msgpack.pack(parts)
        return pickle.pack_parts(parts, nested, self.main_module)

    def unpack_parts(self, failure: Failure, scope: str) -> object:
        """Reverses `pack_parts`. A pickle is touched only after its signature was verified."""
        if failure.codec == PICKLED:
            self.verify(Payload(content_type=PICKLE, body=failure.parts, signature=failure.signature), scope)
        return pickle.unpack_parts(failure)

    def decode_list(self, payload: Payload, *, scope: str) -> Any:
        """A list, each element on its own: one that cannot be decoded is `Unreadable`, and spoils none of the others.

        Raises what `decode` raises for what concerns all of them.
        """
        if payload.content_type == PICKLES:
            self.verify(payload, scope)
            return [_tried(pickle.loads, item) for item in _pickles(payload.body)]
        try:
            return self.decode(payload, scope=scope)
        except ProtocolError:
            if payload.content_type != MSGPACK:
                raise
            return [_tried(unpack, item) for item in slice_list(payload.whole().body)]

    def verify(self, payload: Payload, scope: str) -> None:
        """Raises `ProtocolError` unless it is one or more pickles, signed for the message that ``scope`` says."""
        if payload.content_type not in (PICKLE, PICKLES):
            raise ProtocolError(f"content type {payload.content_type[:100]!r} is not supported; use JSON or msgpack")
        if self.key is None:
            raise ProtocolError("a pickle arrived, and without a signing key (BUSFN_SIGNING_KEY) none is accepted")
        if not payload.signature:
            raise ProtocolError("a pickle arrived without a signature; it was not unpickled")
        expected = self.sign(scope, payload.body, payload.content_type).encode()
        if not hmac.compare_digest(expected, payload.signature.encode(errors="replace")):
            raise ProtocolError("a pickle arrived with a wrong signature; it was not unpickled")

    def _pickled(self, value: object, what: str, reason: NotPlain | None = None) -> bytes:
        if self.key is None:
            where, kind = _offender(value, what, reason)
            raise SerializationError(
                f"{where} is a {kind}, which is not plain data, and pickle is off because there is no"
                " signing key: set BUSFN_SIGNING_KEY to the same secret on both sides, or send plain data"
            )
        try:
            return pickle.dumps(value, self.main_module)
        except Exception as error:  # pickling runs the value's own code, which may raise anything
            where, kind = _offender(value, what, reason)
            raise SerializationError(f"{where} ({kind}) cannot be pickled: {error}") from error

    def sign(self, scope: str, body: bytes, content_type: str = PICKLE) -> str:
        """HMAC-SHA256 over scope, content type and body, each preceded by its length so that none can be shifted."""
        mac = hmac.new(self.key or b"", digestmod=hashlib.sha256)
        for part in (scope.encode("utf-8", "surrogatepass"), content_type.encode(), body):
            mac.update(len(part).to_bytes(8, "big"))
            mac.update(part)
        return mac.hexdigest()


def _offender(value: object, what: str, reason: NotPlain | None) -> tuple[str, str]:
    """What is not plain about a value: its place, and its type."""
    try:
        if reason is None:
            msgpack.pack(value)
    except NotPlain as error:
        reason = error
    if reason is None:
        return what, type(value).__name__
    return f"{what}{reason.path}" if what else _place(reason.path), reason.type_name


def _pickles(body: bytes) -> list[bytes]:
    items = unpack(body)
    if not is_list(items) or not all(isinstance(item, bytes) for item in items):
        raise ProtocolError("pickles must come as a list of bytes")
    return items


def _tried(decode: Callable[[bytes], Any], item: bytes) -> Any:
    try:
        return decode(item)
    except Error as error:
        return Unreadable(error)


def _msgpack_of(value: object, what: str) -> Payload:
    """A value for somebody without our SDK: objects become what they are in JSON."""
    try:
        if not msgpack.is_opaque(value):
            with suppress(NotPlain):
                return Payload(content_type=MSGPACK, body=msgpack.pack(value))
        return Payload(content_type=MSGPACK, body=msgpack.pack(plain(value, native=True)))
    except (NoForm, NotPlain) as error:
        raise SerializationError(f"{what}{error.path} cannot be sent as msgpack: {error}") from None
    except RecursionError:
        raise SerializationError(f"{what} is nested too deeply, or holds itself") from None


def _place(path: str) -> str:
    """A place in packed arguments as the caller knows it: ``args[0]``, ``kwargs['x']``."""
    return re.sub(r"^\['(\w+)'\]", r"\1", path) or "an argument"
