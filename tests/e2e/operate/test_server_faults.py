"""What may happen to the server of `busfn up`, and costs nothing that it had accepted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import wait_gone

import busfn
from busfn import errors
from busfn_services.parentage import children, descendants

APP = """
    import busfn

    app = busfn.App("$APP")

    @app.function(max_containers=2)
    def size(x: bytes) -> int:
        return len(x)
"""
Eventually = Callable[[Callable[[], bool]], None]
Script = Callable[..., str]


def servers_of(folder: Path) -> list[int]:
    """Processes of nats-server with their data there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                config = (entry / "cmdline").read_bytes().split(b"\0")[2].decode()
                if config.endswith("server.conf") and f'"{folder}/' in Path(config).read_text():
                    found.append(int(entry.name))
            except (OSError, IndexError):
                continue
    return found


def test_a_server_that_outlives_its_stack_makes_room_for_the_next_start(
    own_up: Any, app: str, script: Script, eventually: Eventually
) -> None:
    """Its guardian is killed, then `busfn up`: two servers were on one store, and the second could not be stopped."""
    own_up.busfn("deploy", script(APP))
    size = busfn.Function.from_name(app, "size")
    assert size.remote(b"123") == 3
    own_up.busfn("app", "stop", app, "--yes")
    waiting = size.spawn(b"1234")
    folder = own_up.home / ".local/share/busfn"
    [server] = servers_of(folder)
    [guardian] = [pid for pid in children(own_up.process.pid) if server in children(pid)]
    os.kill(guardian, signal.SIGKILL)
    wait_gone(guardian)
    parts = descendants(own_up.process.pid)
    own_up.process.kill()
    own_up.process.communicate()
    assert own_up.start().startswith("ready")
    wait_gone(server)
    assert len(servers_of(folder)) == 1
    own_up.busfn("deploy", script(APP))
    assert waiting.get(timeout=30) == 4
    [server] = servers_of(folder)
    assert own_up.stop() == 0
    wait_gone(server)
    for pid in parts:
        wait_gone(pid, 60)


def test_a_stack_whose_guardian_was_killed_can_be_stopped(own_up: Any) -> None:
    folder = own_up.home / ".local/share/busfn"
    [server] = servers_of(folder)
    [guardian] = [pid for pid in children(own_up.process.pid) if server in children(pid)]
    os.kill(guardian, signal.SIGKILL)
    wait_gone(guardian)
    began = time.monotonic()
    assert own_up.stop() == 0
    assert time.monotonic() - began < 20
    wait_gone(server)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system, and not everywhere")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_server_whose_disk_was_full_stores_again_when_there_is_room(
    small_disk: Path, future_up: Any, app: str, script: Script, eventually: Eventually
) -> None:
    """Nothing that it had accepted is lost, and nobody has to start anything again."""
    up = future_up
    assert up.start("--data", str(small_disk / "data")).startswith("ready")
    up.busfn("deploy", script(APP))
    size = busfn.Function.from_name(app, "size")
    assert size.remote(b"1") == 1
    up.busfn("app", "stop", app, "--yes")
    ballast, free = small_disk / "ballast", os.statvfs(small_disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_bsize - (2 << 20))
    accepted = list(spawned_until_refused(size))
    eventually(lambda: "the NATS server cannot store: no room in" in up.log)
    assert 1 <= len(accepted) < 20
    ballast.unlink()
    eventually(lambda: "there is room again" in up.log)
    accepted.append(size.spawn(b"12345"))
    up.busfn("deploy", script(APP))
    expected = [300_000 + number for number in range(len(accepted) - 1)]
    assert [call.get(timeout=60) for call in accepted] == [*expected, 5]
    assert "Traceback" not in up.log
    assert up.stop() == 0


def spawned_until_refused(size: Any) -> Iterator[Any]:
    for number in range(20):
        try:
            yield size.spawn(os.urandom(300_000 + number))
        except errors.Error:
            return
