"""Which host a worker is started on. Pure.

The one with the fewest workers for its cores; but a host that did not answer, or that could not start this version of a
function, is left alone for a while: a second at first, then ever longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from busfn.spec import FunctionSpec
from busfn_services.controller.backoff import Backoff
from busfn_services.reports import HostReport

MAX_REMEMBERED = 4096
"""Hosts, and versions on hosts, whose failed starts are remembered."""

K = TypeVar("K")
Key = tuple[str, str, int, str]
"""Host, app, version and function."""


@dataclass(slots=True)
class Placement:
    """What is known of earlier starts; times are seconds of one monotonic clock."""

    _silent: dict[str, Backoff] = field(default_factory=dict[str, Backoff])
    _broken: dict[Key, Backoff] = field(default_factory=dict[Key, Backoff])

    def choose(self, hosts: Iterable[HostReport], asked: Iterable[str], spec: FunctionSpec, now: float) -> str | None:
        """The best host; ``asked`` are the hosts of starts that are not confirmed yet. None when there is none.

        Where all hosts have failed to start this version, it is tried anyway: the function itself backs off, too.
        """
        takers = [host for host in hosts if not host.leaving and not self.silent(host.host, now)]
        fit = [host for host in takers if not _pausing(self._broken.get(_key(host.host, spec)), now)] or takers
        pending = Counter(asked)
        loads = {host.host: (len(host.workers) + pending[host.host]) / max(1, host.cores) for host in fit}
        return min(loads, key=loads.__getitem__, default=None)

    def silent(self, host: str, now: float) -> bool:
        """Whether a host is left alone because it did not answer."""
        return _pausing(self._silent.get(host), now)

    def started(self, host: str, spec: FunctionSpec) -> None:
        """It has started a worker."""
        self._silent.pop(host, None)
        self._broken.pop(_key(host, spec), None)

    def refused(self, host: str, spec: FunctionSpec, now: float) -> None:
        """It answers, and cannot start this."""
        self._silent.pop(host, None)
        _note(self._broken, _key(host, spec), now)

    def forget(self, host: str) -> None:
        """It is gone; one that comes under its name is another one."""
        self._silent.pop(host, None)

    def forget_silence(self) -> None:
        """Hosts may not have heard us for a while, and now they do."""
        self._silent.clear()

    def unanswered(self, host: str, now: float) -> None:
        """It did not answer."""
        _note(self._silent, host, now)


def _key(host: str, spec: FunctionSpec) -> Key:
    return host, spec.app, spec.version, spec.name


def _pausing(backoff: Backoff | None, now: float) -> bool:
    return backoff is not None and backoff.pausing(now)


def _note(known: dict[K, Backoff], key: K, now: float) -> None:
    known.setdefault(key, Backoff()).failed("", now)
    if len(known) > MAX_REMEMBERED:
        known.pop(next(iter(known)))
