"""The items of a running generator on their way out, as far ahead as the consumer allows."""

from __future__ import annotations

import threading
from typing import Any, cast

import msgpack

from busfn.protocol.codecs import JSON, MSGPACK, Codecs, Payload
from busfn.protocol.codecs.msgpack import NotPlain, pack
from busfn.protocol.envelope import Answer, Call, Status
from busfn.protocol.stream import Sender
from busfn_services.handon import EMPTY

FRAME_ITEMS = 256
FRAME_BYTES = 256 * 1024


class StreamClosed(Exception):
    """The consumer wants no more items."""


class Outlet:
    """The items of one generator on their way out. The main thread pushes, the loop thread flushes and grants."""

    def __init__(self, codecs: Codecs, call: Call, worker: str) -> None:
        self._codecs = codecs
        self._call = call
        self._worker = worker
        self._sender = Sender()
        self._changed = threading.Condition()
        self._frames: list[Answer] = []
        self._packed: list[bytes] = []
        self._packed_size = 0
        self._pushed = 0
        self._closed = False

    def push(self, item: object) -> bool:
        """Add an item; tells whether a flush must be asked for. Raises `StreamClosed` once the consumer left."""
        encoded = self._encode(item)
        with self._changed:
            if self._closed:
                raise StreamClosed
            first = not self._frames and not self._packed
            if isinstance(encoded, bytes):
                self._add_packed(encoded)
            else:
                self._seal()
                self._frames.append(encoded)
            if not self._call.foreign:
                self._sender.sent(1, len(encoded) if isinstance(encoded, bytes) else len(encoded.payload.body))
            self._pushed += 1
        return first

    def wait_for_credit(self) -> None:
        """Block until an item may be pushed."""
        with self._changed:
            while not self._closed and not self._call.foreign and not self._sender.can_send():
                self._changed.wait()

    def has_credit(self) -> bool:
        """Whether an item may be pushed now."""
        return self._closed or self._call.foreign or self._sender.can_send()

    def granted(self, items: int, size: int) -> None:
        """The consumer allows more."""
        with self._changed:
            self._sender.granted(items, size)
            self._changed.notify_all()

    def close(self) -> None:
        """The consumer is gone."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def flush(self) -> list[Answer]:
        """Frames that are due, in order."""
        with self._changed:
            self._seal()
            frames, self._frames = self._frames, []
        return frames

    def end(self) -> Answer:
        """The last frame."""
        return Answer(status=Status.END, payload=EMPTY, call=self._call.call, count=self._pushed, worker=self._worker)

    def _encode(self, item: object) -> bytes | Answer:
        if self._call.foreign:
            return self._foreign(item)
        try:
            packed = pack(item)
        except NotPlain:
            frame = self._frame(self._pushed, 1, EMPTY)
            return frame.copy(payload=self._codecs.encode([item], scope=frame.scope(), what="item"))
        if len(packed) < FRAME_BYTES:
            return packed
        return self._frame(self._pushed, 1, Payload(content_type=MSGPACK, body=_array([packed])))

    def _foreign(self, item: object) -> Answer:
        """One item a frame, as it is: no client library is needed to read it."""
        frame = self._frame(self._pushed, 1, EMPTY)
        accept = self._call.accept or self._call.payload.content_type or JSON
        return frame.copy(payload=self._codecs.encode(item, scope=frame.scope(), what="item", accept=accept))

    def _add_packed(self, packed: bytes) -> None:
        if len(self._packed) >= FRAME_ITEMS or self._packed_size + len(packed) > FRAME_BYTES:
            self._seal()
        self._packed.append(packed)
        self._packed_size += len(packed)

    def _seal(self) -> None:
        if not self._packed:
            return
        count = len(self._packed)
        payload = Payload(content_type=MSGPACK, body=_array(self._packed))
        self._frames.append(self._frame(self._pushed - count, count, payload))
        self._packed, self._packed_size = [], 0

    def _frame(self, first: int, count: int, payload: Payload) -> Answer:
        return Answer(
            status=Status.ITEM, payload=payload, call=self._call.call, index=first, count=count, worker=self._worker
        )


def _array(packed: list[bytes]) -> bytes:
    """A msgpack array of items that are packed already."""
    untyped = cast(Any, msgpack)  # the package has no types
    header: bytes = untyped.Packer().pack_array_header(len(packed))
    return header + b"".join(packed)
