"""A durable call waits for a function whose workers cannot start; nothing accepted is lost."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import durable
import pytest

import busfn
from busfn import errors


def test_a_spawned_call_outlives_workers_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "mended"
    for name in ("BUSFN_URL", "NATS_URL", "NATS_CONTEXT", "BUSFN_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DURABLE_MARK", str(mark))
    with durable.app.run():
        with pytest.raises(errors.ServiceError, match="not mended yet"):
            durable.mended.remote(1)
        call, several = durable.mended.spawn(2), durable.mended.spawn_map([3, 4])
        ways = (
            call.get,
            lambda: list(several.iter()),
            lambda: busfn.FunctionCall.gather(several, call),
            lambda: list(durable.mended.map([5])),
        )
        for way in ways:  # after the first pause between attempts, and without one: it is known by then
            with pytest.raises(errors.ServiceError, match="not mended yet"):
                way()
        with pytest.raises(errors.ServiceError, match=f"The call {call.object_id} is still queued"):
            call.get(timeout=60)
        mark.touch()
        assert patiently(call) == 2
        assert list(several.iter()) == [3, 4]


def test_a_machine_without_means_for_another_worker_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BUSFN_URL", "NATS_URL", "NATS_CONTEXT", "BUSFN_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    before = host_processes()
    with durable.app.run():
        [host] = host_processes() - before
        limits = resource.prlimit(host, resource.RLIMIT_NOFILE)
        resource.prlimit(host, resource.RLIMIT_NOFILE, (3, limits[1]))
        with pytest.raises(errors.ServiceError, match="open files"):
            durable.square.remote(2)
        call = durable.square.spawn(3)
        resource.prlimit(host, resource.RLIMIT_NOFILE, limits)
        assert patiently(call) == 9


def host_processes() -> set[int]:
    """The hosts that this process has started."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    found = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return {pid for pid, command in found.items() if b"busfn_services.host" in command}


def patiently(call: busfn.FunctionCall[int]) -> int:
    """The result: the next attempt to start a worker may be seconds away, and who waits is told of the last one."""
    until = time.monotonic() + 60
    while True:
        try:
            return call.get(timeout=60)
        except errors.ServiceError:
            assert time.monotonic() < until
