"""What dies is made up for: workers, the server, callers. The truth is an append-only file that the bodies write."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import durable
import pytest

from busfn import FunctionCall
from busfn.binding import DEFAULT
from busfn.bus.server import EmbeddedServer

BUSFN = str(Path(sys.executable).parent / "busfn")
APP = durable.__file__


class Site:
    """A server that can be killed and restarted, and a microservice with workers on it."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.server = EmbeddedServer.launch(store_dir=store, token="site").wait_ready()
        self.url = self.server.address.servers[0].replace("://", "://site@")
        self.service: subprocess.Popen[str] | None = None

    def serve(self, function: str, processes: int) -> None:
        """Start workers; returns when calls are answered."""
        command = [BUSFN, "worker", f"{APP}::{function}", "-n", str(processes)]
        self.service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.service.stdout is not None
        assert self.service.stdout.readline().startswith("ready")

    def kill_server(self) -> None:
        """As hard as it goes; the data stay."""
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.wait_exit()

    def restart_server(self) -> None:
        """The same server again."""
        port = self.server.port
        self.server.stop()
        self.server = EmbeddedServer.launch(store_dir=self._store, token="site", port=port).wait_ready()

    def dismiss(self) -> None:
        """Stop the workers."""
        service, self.service = self.service, None
        if service is not None:
            service.terminate()
            service.communicate(timeout=30)

    def close(self) -> None:
        self.dismiss()
        self.server.stop()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path / "store")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BUSFN_URL", made.url)
    for name in ("NATS_URL", "NATS_CONTEXT", "BUSFN_ENV"):
        monkeypatch.delenv(name, raising=False)
    yield made
    client, DEFAULT.client = DEFAULT.client, None
    if client is not None:
        client.close()
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "log")


def named(function: str):
    """A handle as any other client has it."""
    from busfn import Function

    return Function.from_name("durable", function)


def in_background(work: Callable[[threading.Event], None]) -> Callable[[], None]:
    """Run something until it is told to stop; returns what tells it."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()

    def end() -> None:
        stop.set()
        thread.join()

    return end


@pytest.mark.parametrize("death", ["kill", "exit", "segfault"])
def test_workers_that_die_all_the_time_lose_and_double_nothing(site: Site, path: str, death: str) -> None:
    site.serve("dying", 4)
    kills: list[int] = []

    def kill_workers(stop: threading.Event) -> None:
        while not stop.wait(0.1):
            Path(path + ".die").write_text(death)  # the body that sees it first takes its worker down
            kills.append(1)

    calls = [named("dying").spawn(path, x) for x in range(500)]
    end = in_background(kill_workers)
    try:
        results = [call.get(timeout=60) for call in calls]
    finally:
        end()
    assert results == list(range(500))
    ran = Counter(Path(path).read_text().split())
    assert set(ran) == {str(x) for x in range(500)}
    assert len(kills) >= 3


def test_a_server_killed_and_restarted_loses_nothing(site: Site, path: str) -> None:
    site.serve("logged", 2)
    call = named("logged").spawn_map([path] * 1500, range(1500))
    singles = [named("logged").spawn(path, 10_000 + x) for x in range(100)]
    while not Path(path).exists() or len(Path(path).read_text().split()) < 200:
        time.sleep(0.01)
    site.kill_server()
    site.restart_server()
    assert list(call.iter()) == list(range(1500))
    assert [single.get(timeout=60) for single in singles] == [10_000 + x for x in range(100)]
    ran = Counter(Path(path).read_text().split())
    assert len(ran) == 1600


def test_work_accepted_without_any_worker_is_done_when_one_comes(site: Site, path: str) -> None:
    site.serve("logged", 1)  # creates the streams
    site.dismiss()
    script = (
        "import busfn; f = busfn.Function.from_name('durable', 'logged');"
        f"print(f.spawn_map([{path!r}] * 200, range(200)).object_id)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    site.kill_server()
    site.restart_server()
    site.serve("logged", 2)
    assert list(FunctionCall.from_id(done.stdout.strip()).iter()) == list(range(200))


def test_a_worker_that_is_killed_at_random_moments_costs_no_result(site: Site, path: str) -> None:
    site.serve("logged_with_pid", 2)

    def kill_workers(stop: threading.Event) -> None:
        while not stop.wait(0.3):
            pids = (
                [int(line.split(":")[1]) for line in Path(path).read_text().split()[-20:]]
                if Path(path).exists()
                else []
            )
            if pids:
                try:
                    os.kill(random.choice(pids), signal.SIGKILL)
                except ProcessLookupError:  # it had died before
                    continue

    call = named("logged_with_pid").spawn_map([path] * 600, range(600))
    end = in_background(kill_workers)
    try:
        assert list(call.iter()) == list(range(600))
    finally:
        end()
    ran = Counter(line.split(":")[0] for line in Path(path).read_text().split())
    assert set(ran) == {str(x) for x in range(600)}
