"""`busfn up` itself: one per user, found by clients, started again where it was, and what of it may die."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from leases import shorten_leases

import busfn
from busfn.config import BusAddress, load_settings
from busfn.errors import ConflictError
from busfn_services.child import Orders
from busfn_services.home import Lock

APP = """
    import os, time

    import busfn

    app = busfn.App("$APP")

    @app.function(max_containers=2, scaledown_window=60)
    def pid(seconds: float = 0.0) -> int:
        time.sleep(seconds)
        return os.getpid()

    @app.function()
    def never_called_before(x: int) -> int:
        return x
"""

BUSFN = str(Path(sys.executable).parent / "busfn")
Eventually = Callable[[Callable[[], bool]], None]


def test_a_second_start_refuses_politely(up) -> None:
    done = up.run("up")
    assert done.returncode == 1
    assert f"runs already (process {up.process.pid}, environment 'main', nats://127.0.0.1:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_environment_is_served_as_the_refusal_says(own_up, app: str, script: Callable[..., str]) -> None:
    refused = own_up.run("up", "--env", "second")
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    folder, address = own_up.home / ".local" / "share" / "busfn", own_up.busfn("url").strip().partition("@")[2]
    runs = f"(process {own_up.process.pid}, environment 'main', nats://{address}) with its data in {folder}"
    assert runs in refused.stderr
    [advice] = [line.strip() for line in refused.stderr.splitlines() if "BUSFN_URL" in line]
    path = f"{Path(BUSFN).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-c", f"exec env {advice}"]
    with (own_up.home / "second.log").open("w") as log:
        second = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "PATH": path}
        )
    try:
        assert second.stdout is not None
        assert second.stdout.readline() == f"ready nats://{address}\n", (own_up.home / "second.log").read_text()
        for env in ("main", "second"):
            own_up.busfn("deploy", script(APP), "--env", env)
        called = f"import busfn; print(busfn.Function.from_name({app!r}, 'pid', environment_name='second').remote())"
        pid = subprocess.run([sys.executable, "-c", called], capture_output=True, text=True, timeout=60, check=True)
        assert busfn.Function.from_name(app, "pid").remote() != int(pid.stdout)
        assert "runs already" in own_up.run("up", "--env", "main").stderr
    finally:
        second.terminate()
        second.communicate(timeout=60)
    assert second.returncode == 0
    assert load_settings().source == "a running `busfn up`"  # that of the first


def test_a_stack_with_data_elsewhere_leaves_clients_to_the_first(own_up, tmp_path: Path) -> None:
    url = own_up.busfn("url")
    other = type(own_up)(own_up.home)
    assert other.start("--data", str(tmp_path / "elsewhere")).startswith("ready")
    assert own_up.busfn("url") == url
    assert other.stop() == 0
    assert own_up.busfn("url") == url
    assert f"find another `busfn up` (process {own_up.process.pid})" in other.log


def test_what_clients_find_is_for_this_user_only_and_goes_with_the_stack(own_up) -> None:
    note = own_up.home / ".cache" / "busfn" / "up.json"
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert load_settings().source == "a running `busfn up`"
    kept = note.read_text()
    assert own_up.stop() == 0
    assert not note.exists()
    note.write_text(kept)
    assert load_settings().address is None  # left behind by one that died, it misleads nobody
    done = own_up.run("app", "list")
    assert done.returncode == 1
    assert "busfn up" in done.stderr


def test_the_next_start_serves_what_was_deployed_and_finishes_what_was_queued(
    own_up, app: str, script: Callable[..., str]
) -> None:
    own_up.busfn("deploy", script(APP))
    url = own_up.busfn("url")
    assert own_up.stop() == 0
    own_up.start()
    assert own_up.busfn("url") == url
    assert busfn.Function.from_name(app, "pid").remote() > 0


def test_stopping_waits_for_what_runs(own_up, app: str, script: Callable[..., str], tmp_path: Path) -> None:
    own_up.busfn("deploy", script(APP))
    call = busfn.Function.from_name(app, "pid").spawn(2.0)
    while not any(worker.busy for worker in own_up.workers(app)):
        time.sleep(0.05)
    assert own_up.stop() == 0
    own_up.start()
    assert call.get(timeout=30) > 0


def test_workers_outlive_their_controller_and_are_adopted(own_up, app: str, script, eventually: Eventually) -> None:
    own_up.busfn("deploy", script(APP))
    function = busfn.Function.from_name(app, "pid")
    before = function.remote()
    long = function.spawn(4.0)
    eventually(lambda: any(worker.busy for worker in own_up.workers(app)))
    old = own_up.children()["controllerd"]
    os.kill(old, signal.SIGKILL)
    assert function.remote() > 0  # workers go on by themselves
    eventually(lambda: own_up.children().get("controllerd", old) != old)
    assert long.get(timeout=30) > 0
    eventually(lambda: own_up.run("worker", "list").returncode == 0)
    assert before in {worker.pid for worker in own_up.workers(app)}
    assert len(own_up.workers(app)) <= 2
    assert function.remote() in {worker.pid for worker in own_up.workers(app)}
    assert "the controller ended (killed by signal 9); it is started again" in own_up.log


def test_a_host_that_dies_is_replaced(own_up, app: str, script, eventually: Eventually) -> None:
    shorten_leases(app, "pid", 5.0)
    own_up.busfn("deploy", script(APP))
    function = busfn.Function.from_name(app, "pid")
    before = function.remote()
    call = function.spawn(3.0)
    eventually(lambda: any(worker.busy for worker in own_up.workers(app)))
    os.kill(own_up.children()["agentd"], signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{before}").exists())
    assert function.remote() != before
    assert call.get(timeout=60) > 0


def test_a_server_that_dies_is_started_again_with_its_data(own_up, app: str, script, eventually: Eventually) -> None:
    own_up.busfn("deploy", script(APP))
    function = busfn.Function.from_name(app, "pid")
    function.remote()
    os.kill(_server_of(own_up.process.pid), signal.SIGKILL)
    eventually(lambda: own_up.run("app", "list").stdout.startswith(app))
    assert function.spawn().get(timeout=60) > 0
    cold = busfn.Function.from_name(app, "never_called_before")
    assert cold.spawn(1).get(timeout=60) == 1  # what the server kept in memory was made again
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(cold.remote, range(40))) == list(range(40))


def _server_of(pid: int) -> int:
    """The nats-server of a `busfn up`: a child of its guardian."""
    for guardian in _children(pid):
        for child in _children(guardian):
            if b"nats-server" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
    raise AssertionError("there is no server")


def _children(pid: int) -> list[int]:
    lists = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(child) for one in lists for child in one.read_text().split()]


def test_several_controllers_do_not_scale_twice_and_one_takes_over(
    own_up, app: str, script, eventually: Eventually
) -> None:
    own_up.busfn("deploy", script(APP))
    settings = load_settings()
    orders = Orders(address=settings.address, env="main", key=settings.signing_key)
    command = [sys.executable, "-m", "busfn_services.controllerd"]
    second = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        second.stdin.write(json.dumps(orders.to_dict()) + "\n")
        second.stdin.flush()
        while json.loads(second.stdout.readline())["event"] != "ready":
            continue
        function = busfn.Function.from_name(app, "pid")
        assert len(set(function.map([0.5] * 8))) == 2  # max_containers, not twice as many
        assert len(own_up.workers(app)) == 2
        os.kill(own_up.children()["controllerd"], signal.SIGSTOP)
        began = time.monotonic()
        try:
            eventually(lambda: own_up.run("worker", "list").returncode == 0)
            print(f"another controller led after {time.monotonic() - began:.1f} s")
            function.update_autoscaler(min_containers=1, max_containers=1)
            assert function.remote() > 0
        finally:
            os.kill(own_up.children()["controllerd"], signal.SIGCONT)
        assert len(own_up.workers(app)) <= 2
    finally:
        second.stdin.close()
        assert second.wait(30) == 0
        second.stdout.close()


def test_a_folder_has_one_stack_with_a_server_and_one_for_an_environment(tmp_path: Path) -> None:
    first = Lock(tmp_path, "main", server=True)
    with first, pytest.raises(ConflictError, match=r"runs already .*'main', starting.*nothing is to be done"):
        Lock(tmp_path, "main", server=True).__enter__()
    with first:  # it is free again
        first.tell("nats://127.0.0.1:1")
        with pytest.raises(ConflictError, match=r"'main', nats://127.0.0.1:1\).*serves one environment"):
            Lock(tmp_path, "other", server=True).__enter__()
        with pytest.raises(ConflictError, match="nothing is to be done"):
            Lock(tmp_path, "main", server=False).__enter__()
        with Lock(tmp_path, "other", server=False), pytest.raises(ConflictError, match="'other', starting"):
            Lock(tmp_path, "other", server=False).__enter__()
        (tmp_path / "lock").write_text("{")
        with pytest.raises(ConflictError, match="runs already"):
            Lock(tmp_path, "other", server=True).__enter__()


def test_orders_survive_their_pipe() -> None:
    orders = Orders(address=BusAddress(token="t", replicas=3), env="e", key=b"\x00k")
    assert Orders.from_dict(json.loads(json.dumps(orders.to_dict()))) == orders
