"""Which calls are taken, by the way they came. Pure."""

from __future__ import annotations

from enum import Enum

from busfn.errors import ProtocolError
from busfn.protocol import headers as h
from busfn.protocol.border import CallId
from busfn.protocol.envelope import Call

DAY = 86_400.0
MAX_DELAY = 365 * DAY
"""Seconds that a durable call may be put off."""
SKEW = DAY
"""Seconds by which clocks on a bus may differ, and more."""


class Way(Enum):
    """How a call came."""

    DIRECT = "direct"
    """As a plain message: from a caller."""
    OVERFLOW = "overflow"
    """From the stream of calls that were handed on."""
    JOB = "job"
    """From the stream of queued inputs."""


MAX_AHEAD = {Way.DIRECT: 0.0, Way.OVERFLOW: DAY + SKEW, Way.JOB: MAX_DELAY + SKEW}
"""Seconds until a call may start, at the most. One that waits for its answer is only put off between its attempts."""


def check_start(call: Call, way: Way, now: float) -> None:
    """Raise `ProtocolError` when a call is put off for longer than there is a reason for; ``now`` in Unix seconds."""
    if not call.not_before:
        return
    ahead, most = call.not_before / 1000 - now, MAX_AHEAD[way]
    if ahead > most:
        raise ProtocolError(f"{h.NOT_BEFORE} is {ahead / DAY:.0f} days ahead; the most is {most / DAY:.0f}")


def check_job(call: Call, own: CallId) -> None:
    """Raise `ProtocolError` when a queued call says that it is another one than its subject does, or claims the large
    arguments of another one."""
    if call.call != own:
        raise ProtocolError(f"{h.CALL} is {call.call}, and the message is queued under {own}")
    owner = call.payload.reference.partition(".")[0]
    if owner and not call.reply and owner not in (own, f"{own}again", f"{own}dead"):
        raise ProtocolError(f"{h.BLOB_REFERENCE} belongs to {owner}, not to this call")
