"""The lease by which one controller of an environment leads, and how others tell which one does. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated

from busfn.bus.stores import Entry
from busfn.protocol.records import Range, read_record
from busfn_services.reports import MAX_EPOCH, Name

KEY = "lead"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderLease:
    """What the row holds."""

    owner: Name
    epoch: Annotated[int, Range(0, MAX_EPOCH)] = 0
    """Grows with every change of leader. 0 in the first write of a leader: then it is the revision of that write."""

    def encode(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self)).encode()


def owner_of(entry: Entry) -> tuple[str, int]:
    """Who leads, and with which epoch. Raises `ProtocolError` for a row that cannot be read."""
    lease = read_record(LeaderLease, entry.value, "the lease of the controller that leads")
    return lease.owner, lease.epoch or entry.revision
