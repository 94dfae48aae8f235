"""What every way of calling needs: a loop, a bus, names and codecs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from busfn.bus.base import Bus
from busfn.errors import InternalFailure, NoResponders, RemoteError, ServiceError
from busfn.ids import CallIds
from busfn.invoke.progress import Watch, unwatched
from busfn.protocol.codecs import JSON, Codecs
from busfn.protocol.envelope import Answer, Status
from busfn.protocol.failure import decode_failure
from busfn.protocol.names import Target
from busfn.protocol.subjects import Subjects
from busfn.sync import LoopThread


def ignore_waiting(change: int) -> None:
    """Outside a worker nobody counts who waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A client's side of the bus."""

    portal: LoopThread
    bus: Bus
    subjects: Subjects
    codecs: Codecs
    ids: CallIds = field(default_factory=CallIds, repr=False)
    waiting: Callable[[int], None] = field(default=ignore_waiting, repr=False)
    """Told +1 when an input of this worker starts to wait for a nested call and -1 when it goes on."""
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
    return decode_failure(codecs, answer.payload, scope=answer.scope())


def unserved(target: Target) -> NoResponders:
    """The error for a function nobody serves."""
    return NoResponders(
        f"nobody serves {target.label}: no worker and no controller answers for it."
        " `busfn function list` shows what is deployed; start it with `busfn deploy`, `busfn run`, `busfn worker`, or"
        " `with app.run():`"
    )


def given_up(target: Target, call: str, times: int) -> InternalFailure:
    """The error for an input whose workers keep dying."""
    return InternalFailure(f"{target.label} (call {call}): {times} workers were lost while running this input")
