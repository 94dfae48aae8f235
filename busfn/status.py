"""What is known of a function that is served, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from busfn.protocol.records import Count, Path, Token, from_plain, read_record


@dataclass(frozen=True, slots=True)
class FunctionStats:
    """How busy a function is."""

    backlog: int
    """Messages that no worker has taken; a message of a map may hold many inputs."""
    num_total_runners: int
    """Workers, those that are starting included."""
    num_running_inputs: int
    """Inputs that run now."""
    input_headroom: int
    """Inputs that could be taken at once, by workers that idle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionAutoscalerSettings:
    """What was set with `update_autoscaler`; None for what was not."""

    min_containers: int | None = None
    max_containers: int | None = None
    buffer_containers: int | None = None
    scaledown_window: float | None = None


class ScaleDual(Protocol):
    """``f.update_autoscaler(...)`` and ``await f.update_autoscaler.aio(...)``."""

    def __call__(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
        target_inputs: int | None = None,
    ) -> FunctionAutoscalerSettings: ...

    async def aio(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
        target_inputs: int | None = None,
    ) -> FunctionAutoscalerSettings:
        """The same without blocking the event loop."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionStatus:
    """A function as its controller sees it."""

    app: Token
    function: Path
    version: Count
    backlog: Count
    ready: Count
    starting: Count
    draining: Count
    running: Count
    """Workers that run something."""
    reason: str = ""
    """Why there are so many workers."""
    failure: str = ""
    """Why its workers do not start, when they do not."""

    @property
    def stats(self) -> FunctionStats:
        """In Modal's terms."""
        return FunctionStats(self.backlog, self.ready + self.starting, self.running, max(0, self.ready - self.running))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FunctionStatus:
        """Reads what `to_dict` wrote; fields of a newer busfn are ignored. Raises `ProtocolError`."""
        return from_plain(cls, data, "the state of a function")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAnswer:
    """What whoever serves an app answers when it is asked for its functions."""

    functions: Sequence[FunctionStatus] = ()
    error: str = ""
    """Why they are not known."""

    @classmethod
    def decode(cls, body: bytes) -> StatusAnswer:
        """Reads the answer's JSON; raises `ProtocolError`."""
        return read_record(cls, body, "the state of an app's functions")
