"""What every way of calling needs: a loop, a bus, names and codecs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from busfn.bus.base import Bus
from busfn.context import NOT_NESTED, Nesting
from busfn.errors import ExecutionError, InternalFailure, NoResponders, ProtocolError, RemoteError, ServiceError
from busfn.ids import CallIds
from busfn.invoke.progress import Watch, unwatched
from busfn.protocol.codecs import JSON, Codecs
from busfn.protocol.envelope import Answer, Status
from busfn.protocol.failure import decode_failure
from busfn.protocol.names import Target
from busfn.protocol.subjects import Subjects
from busfn.sync import LoopThread


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A client's side of the bus."""

    portal: LoopThread
    bus: Bus
    subjects: Subjects
    codecs: Codecs
    ids: CallIds = field(default_factory=CallIds, repr=False)
    nesting: Nesting = field(default=NOT_NESTED, repr=False)
    """Told when an input of this worker starts to wait for a call of its own, and when it goes on."""
    watch: Watch = field(default=unwatched, repr=False)
    """Told how far maps are."""


def open_answer(codecs: Codecs, answer: Answer) -> object:
    """The value of an answer; raises what the body raised."""
    if answer.status is Status.OK:
        return codecs.decode(answer.payload, scope=answer.scope())
    raise open_failure(codecs, answer)


def open_failure(codecs: Codecs, answer: Answer) -> BaseException:
    """The exception of an error answer."""
    if not answer.payload.content_type:
        return ServiceError(answer.text or f"the call failed with code {answer.code}")
    if answer.payload.content_type == JSON:  # it was called by a client of another kind
        return RemoteError(answer.text)
    try:
        return decode_failure(codecs, answer.payload, scope=answer.scope())
    except ProtocolError as error:  # of another version, or broken on the way: the line in the headers is left
        return RemoteError(f"{answer.text or 'the call failed'} (its traceback cannot be read: {error})")


def unserved(target: Target) -> NoResponders:
    """The error for a function nobody serves."""
    return NoResponders(
        f"nobody serves {target.label}: no worker and no controller answers for it."
        " `busfn function list` shows what is deployed; start it with `busfn deploy`, `busfn run`, `busfn worker`, or"
        " `with app.run():`"
    )


def endless(target: Target, path: Sequence[str], max_containers: int | None) -> ExecutionError | None:
    """The error for a call that waits for workers which all wait for it; None when there may be others.

    ``path`` are the functions that wait for it, with a worker each.
    """
    if max_containers is None or path.count(target.label) < max_containers:
        return None
    chain = " -> ".join((*path, target.label))
    return ExecutionError(
        f"{chain}: this call would never start, because all workers that {target.label} may have"
        f" (`max_containers={max_containers}`) wait for it."
        f" Raise `max_containers`, or call {target.function}.local(...)"
    )


def given_up(target: Target, call: str, times: int) -> InternalFailure:
    """The error for an input whose workers keep dying."""
    return InternalFailure(f"call {target.label}.{call}: {times} workers were lost while running this input")
