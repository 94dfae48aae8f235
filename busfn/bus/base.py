"""What the rest of busfn needs from a message bus.

Small protocols, those of the stores in `busfn.bus.stores`, with two implementations that pass the same contract suite:
NATS (`busfn.bus.core`) and memory (`busfn.bus.memory`). A bus belongs to one event loop: call it from that loop only.
Handlers are plain functions, called in the order of arrival from the loop, one at a time: they must return at once and
hand real work to a task or a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NamedTuple, Protocol

from busfn.bus.stores import Blobs, History, Table
from busfn.errors import QueueFull

Headers = Mapping[str, str]

NO_HEADERS: Headers = {}


class Message(Protocol):
    """A message as it arrived. ``headers`` are parsed on first use."""

    @property
    def subject(self) -> str: ...
    @property
    def reply(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def status(self) -> str:
        """Three digits when it is a word of the bus itself, like 503 when nobody listens; cheaper than `headers`."""
        ...


class SubjectFull(QueueFull):
    """The stream has the most messages it may keep under this subject."""


Handler = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A queued message that was handed to us and must be settled with its `token`."""

    message: Message
    token: str
    """What `Queues.settle` needs; plain text, valid from any connection and process."""
    sequence: int
    """Place of the message in its stream."""
    deliveries: int
    """How often it was handed out, this time included."""
    order: int = 0
    """Its number among all that the consumer has handed out."""
    stored_at: float = 0.0
    """When it was stored, in Unix seconds of the server's clock."""


class Kept(NamedTuple):
    """A stored message and its place in the stream."""

    sequence: int
    message: Message


def nothing(_: Delivery) -> None:
    """Nobody wants to know of it."""


class Verdict(Enum):
    """How a delivery is settled."""

    ACK = b"+ACK"
    """Done: remove it."""
    NAK = b"-NAK"
    """Not done: hand it out again, at once or after a delay."""
    PROGRESS = b"+WPI"
    """Still at it: renew the lease."""
    TERM = b"+TERM"
    """Never hand it out again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message on its way to a stream, with others."""

    subject: str
    body: bytes
    headers: Headers
    msg_id: str
    """It is stored once under it; when empty, as often as it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSpec:
    """A stream to be kept by the bus."""

    name: str
    subjects: tuple[str, ...]
    kind: Literal["work", "log"] = "work"
    """``work``: a message stays until it is acked. ``log``: it stays until a limit is reached."""
    memory: bool = False
    """Keep it in memory instead of in files."""
    max_age: float = 0.0
    """Seconds a message is kept; 0 for ever."""
    max_bytes: int = -1
    max_per_subject: int = -1
    discard_new: bool = True
    """When full, refuse new messages (`QueueFull`) instead of dropping old ones."""
    allow_ttl: bool = False
    allow_direct: bool = False
    republish: tuple[str, str, bool] | None = None
    """(source, destination, headers only): also publish what was stored to plain subscribers."""
    layout: int = 0
    """Version of what is above. A stream of an older one is brought up to date, one of a newer one is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSpec:
    """The readers of one subject of a work stream."""

    stream: str
    name: str
    subject: str
    ack_wait: float = 30.0
    """Seconds without a settlement or progress after which a delivery is handed out again."""


@dataclass(frozen=True, slots=True)
class Lag:
    """What a consumer has before it."""

    pending: int
    """Stored and not yet handed out."""
    unsettled: int
    """Handed out and not yet settled."""
    waiting: int
    """Pull requests that wait for a message."""
    delivered: int = field(default=0, compare=False)
    """Deliveries so far, repeated ones included."""


class Subscription(Protocol):
    """Interest in a subject."""

    async def leave(self) -> None:
        """Stop receiving. On return, everything sent to us before was handled and nothing more will come."""


class Channel(Protocol):
    """A private reply address of this connection; costs no subscription of its own."""

    @property
    def subject(self) -> str: ...

    def close(self) -> None: ...


class Puller(Protocol):
    """A standing request for deliveries."""

    @property
    def heard(self) -> float:
        """When (monotonic seconds) the bus last said a word of it; now, while nothing is asked for."""
        ...

    def wake(self) -> None:
        """Capacity may have grown: ask for more deliveries now."""

    async def stop(self) -> None:
        """Take no more. On return nothing more will be delivered; what was in flight to us has been naked."""


class Queues(Protocol):
    """Durable and in-memory work queues."""

    async def ensure_stream(self, spec: StreamSpec) -> None:
        """Create the stream if it is missing, or bring it up to date; its limits and messages are left alone.

        Raises `ConflictError` if it differs in kind, `VersionError` if its layout is newer than ours.
        """

    async def ensure_consumer(self, spec: ConsumerSpec) -> None:
        """Create the consumer if it is missing. Never edits a live one."""

    async def enqueue(
        self, subject: str, body: bytes, headers: Headers = NO_HEADERS, *, msg_id: str = "", timeout: float = 15.0
    ) -> int:
        """Store a message and return its sequence; retried until ``timeout`` (seconds), stored once per ``msg_id``.

        Raises `QueueFull` when it is refused (`SubjectFull` when only for this subject), `ConnectionError` when late.
        """
        ...

    async def enqueue_all(self, messages: Sequence[Outgoing], *, timeout: float = 15.0) -> None:
        """Store up to 1000 messages of one stream, all or none; errors as of `enqueue`. May be repeated."""
        ...

    async def enqueue_each(self, messages: Sequence[Outgoing], *, timeout: float = 15.0) -> list[int]:
        """Store messages, each for itself, in one go; returns the place of each in its stream.

        0 means that its subject is full. Other errors as of `enqueue`; some may be stored then."""
        ...

    def pull(
        self,
        consumer: ConsumerSpec,
        capacity: Callable[[], int],
        handler: Callable[[Delivery], None],
        *,
        inbox: str = "",
        done: Callable[[Delivery], None] = nothing,
    ) -> Puller:
        """Ask for at most ``capacity()`` unhandled deliveries at a time, now and whenever `Puller.wake` is called.

        A delivery that comes when there is no room for it any more is the handler's to refuse.
        A consumer that is not there, or not any more, is made.
        ``done`` is told each delivery that was handled or refused. ``inbox``: where they come, and others may watch.
        """
        ...

    def settle(self, token: str, verdict: Verdict, *, delay: float = 0.0) -> None:
        """Settle a delivery. ``delay`` in seconds goes with NAK only. Settling twice is harmless."""

    async def confirm(self, token: str, *, timeout: float = 5.0) -> None:
        """Ack and wait until the server has it (`ack_sync`)."""

    async def peek(self, stream: str, sequence: int) -> Message | None:
        """The stored message, or None when it is gone (settled, expired or purged)."""
        ...

    async def oldest(self, stream: str, subject: str) -> Kept | None:
        """The first message that is stored under a subject (wildcards allowed), or None, also without a stream."""
        ...

    async def remove(self, stream: str, sequence: int) -> bool:
        """Remove one message; tells whether it was there."""
        ...

    async def latest(self, stream: str, subject: str) -> Message | None:
        """The last message that is stored under a subject, or None; what the leader of the stream knows."""
        ...

    async def latest_each(self, stream: str, subjects: Sequence[str], most_bytes: int = 0) -> dict[str, Message]:
        """The last messages under up to 1000 subjects, as far as whoever answers has them: what was stored just now may
        be missing. With ``most_bytes``, only the oldest that fit, but one. Raises `NotFoundError`: no stream."""
        ...

    async def subjects(self, stream: str, pattern: str) -> list[str]:
        """The subjects that match and have a stored message, sorted; none when there is no stream."""
        ...

    async def purge(self, stream: str, subject: str) -> int:
        """Remove all messages of a subject (wildcards allowed); returns how many."""
        ...

    async def withdraw(self, stream: str, subject: str) -> None:
        """`purge` one subject of a work queue; up to 16 messages without a delay for others that were given back."""

    async def lag(self, stream: str, consumer: str) -> Lag:
        """What waits for the consumer. Raises `NotFoundError` when it does not exist."""
        ...

    async def delete_consumer(self, stream: str, consumer: str) -> None: ...


class Bus(Protocol):
    """A connection to the bus. Owned by one ``async with``."""

    @property
    def max_body(self) -> int:
        """Bytes of body that surely fit into one message beside our headers."""
        ...

    @property
    def connected(self) -> bool: ...
    @property
    def queues(self) -> Queues: ...
    @property
    def blobs(self) -> Blobs: ...
    @property
    def history(self) -> History: ...
    def table(self, name: str) -> Table: ...

    def publish(self, subject: str, body: bytes = b"", headers: Headers = NO_HEADERS, reply: str = "") -> None:
        """Send a message; it leaves with the next turn of the loop. While disconnected it is kept and sent later.

        Raises `RequestSizeError` when body and headers are more than the server takes, `ClientClosed` after close,
        `ConnectionError` when too much is waiting for a lost connection.
        """

    async def flush(self, timeout: float = 10.0) -> None:
        """A real barrier: on return the server has processed all we sent, and we have handled all it sent before it
        answered. Raises `ConnectionError` when no answer comes in ``timeout`` seconds."""

    def write_out(self) -> None:
        """Give what was sent in this turn of the loop to the socket now: from there it goes on also when we die."""

    async def writable(self) -> None:
        """Wait until the socket has room: back-pressure for those who publish a lot."""

    async def subscribe(self, subject: str, handler: Handler, *, queue: str = "") -> Subscription:
        """Receive a subject (wildcards allowed); on return the server knows."""
        ...

    def channel(self, handler: Handler) -> Channel:
        """A new private reply address. A message nobody serves comes back to it with ``Status: 503``."""
        ...

    async def request(
        self, subject: str, body: bytes = b"", headers: Headers = NO_HEADERS, *, timeout: float = 5.0
    ) -> Message:
        """One message, one answer. Raises `NoResponders` at once, `ConnectionError` after ``timeout`` seconds."""
        ...

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Called after each reconnect; subscriptions and pulls have been renewed by then."""

    async def close(self) -> None: ...

    def abandon(self) -> None:
        """In a forked child: let go of the connection, which is the parent's."""
        ...
