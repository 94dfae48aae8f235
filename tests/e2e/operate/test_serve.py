"""`busfn serve`: new code takes over when a file changes, and broken code does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import busfn
from busfn import errors
from busfn.binding import DEFAULT
from busfn.bus.server import EmbeddedServer
from busfn.config import load_settings

BUSFN = str(Path(sys.executable).parent / "busfn")

APP = """
    import busfn

    app = busfn.App("$APP")

    @app.function()
    def f() -> str:
        return "one"
"""


class Session:
    """A running `busfn serve`."""

    def __init__(self, path: str, log: Path) -> None:
        self._log = log
        with log.open("w") as stderr:
            self._process = subprocess.Popen([BUSFN, "serve", path], stdout=subprocess.PIPE, stderr=stderr, text=True)

    def first_line(self) -> str:
        """What it says when it is ready; nothing when it ends."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def kill(self) -> None:
        """However the test went."""
        self._process.kill()
        self._process.communicate()

    def end(self, number: signal.Signals | None = signal.SIGINT) -> int:
        """Send a signal, and wait for the exit code."""
        if number is not None:
            self._process.send_signal(number)
        self._process.communicate(timeout=30)
        return self._process.returncode

    @property
    def said(self) -> str:
        return self._log.read_text()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Path], Session]]:
    """Starts sessions, and sees to it that none is left."""
    started: list[Session] = []

    def start(path: Path) -> Session:
        started.append(Session(str(path), tmp_path / f"session{len(started)}.log"))
        return started[-1]

    yield start
    for session in started:
        session.kill()


def test_changed_code_takes_over_and_broken_code_does_not(
    home: Path, app: str, serve: Callable[[Path], Session], script: Callable[..., str], eventually, monkeypatch
) -> None:
    path = Path(script(APP))
    session = serve(path)
    ready, url = session.first_line().split()
    assert ready == "ready"
    monkeypatch.setenv("BUSFN_URL", url)
    function = busfn.Function.from_name(app, "f")
    assert function.remote() == "one"
    path.write_text(path.read_text().replace("one", "two"))
    eventually(lambda: function.remote() == "two")
    path.write_text(path.read_text() + "\nthis is no Python\n")
    eventually(lambda: "is served on" in session.said)
    assert "SyntaxError" in session.said
    assert "Traceback" not in session.said
    assert function.remote() == "two"
    (path.parent / "helper.py").write_text("WORD = 'three'\n")
    text = path.read_text().replace("\nthis is no Python\n", "").replace('"two"', "WORD")
    path.write_text("from helper import WORD\n" + text)
    eventually(lambda: function.remote() == "three")
    assert session.end() == 130


def test_a_change_that_leaves_size_and_time_as_they_were_takes_over(
    home: Path, app: str, serve: Callable[[Path], Session], script: Callable[..., str], eventually, monkeypatch
) -> None:
    """Python tells by both whether its compiled file is out of date; a file may be written twice within a second."""
    path = Path(script(APP))
    before = path.stat()
    session = serve(path)
    _, url = session.first_line().split()
    monkeypatch.setenv("BUSFN_URL", url)
    function = busfn.Function.from_name(app, "f")
    assert function.remote() == "one"
    path.write_text(path.read_text().replace("one", "two"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    eventually(lambda: function.remote() == "two")
    assert session.end() == 130


def test_code_that_cannot_be_imported_at_the_start_is_an_error(home: Path, script: Callable[..., str]) -> None:
    path = script("import busfn\nraise RuntimeError('not yet')\n")
    done = subprocess.run([BUSFN, "serve", path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "not yet" in done.stderr


SLOW = """
    import os, time
    from pathlib import Path

    import busfn

    app = busfn.App("$APP")

    @app.function()
    def f(gate: str = "") -> str:
        if gate:
            Path(gate + ".started").touch()
            while not Path(gate).exists():
                time.sleep(0.01)
        return "one"

    @app.function()
    def pid() -> int:
        return os.getpid()
"""


@pytest.fixture
def shared_bus(server: EmbeddedServer, name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bus that others use, too."""
    monkeypatch.setenv("BUSFN_URL", f"nats://{server.address.token}@127.0.0.1:{server.port}")
    monkeypatch.setenv("BUSFN_ENV", name)
    monkeypatch.setenv("BUSFN_SIGNING_KEY", "a key")


def test_it_ends_without_its_bus(
    home: Path,
    serve: Callable[[Path], Session],
    app: str,
    script: Callable[..., str],
    tmp_path: Path,
    eventually,
    monkeypatch,
) -> None:
    bus, gate = EmbeddedServer.launch().wait_ready(), tmp_path / "gate"
    monkeypatch.setenv("BUSFN_URL", f"nats://{bus.address.token}@127.0.0.1:{bus.port}")
    monkeypatch.setenv("BUSFN_SIGNING_KEY", "a key")
    session = serve(Path(script(SLOW)))
    assert session.first_line().startswith("ready")
    pid = busfn.Function.from_name(app, "pid").remote()
    busfn.Function.from_name(app, "f").spawn(str(gate))
    eventually(Path(f"{gate}.started").exists)
    os.kill(bus.pid, signal.SIGKILL)
    bus.stop()
    eventually(lambda: "lost the connection" in session.said)
    assert session.end() == 130
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert "it does not answer. Its name is free" in session.said  # nobody waited for the bus to answer
    assert "Traceback" not in session.said


def traces(app: str) -> set[str]:
    """What there is of an app on the bus: consumers, and keys in the table."""
    link = DEFAULT.require("a test").link
    found: set[str] = set()
    for kind in ("JOBS", "OVF"):
        api = f"$JS.API.CONSUMER.NAMES.{link.subjects.stream(kind)}"
        answer = json.loads(link.portal.run(link.bus.request(api)).body)
        found |= {f"{kind} {one}" for one in answer["consumers"] if one.startswith(app)}
    return found | set(link.portal.run(link.bus.table(link.subjects.table).entries(f"run.{app}")))


def test_on_a_shared_bus_one_serves_an_app_and_leaves_nothing_behind(
    shared_bus: None, serve: Callable[[Path], Session], app: str, script: Callable[..., str], tmp_path: Path, eventually
) -> None:
    path, gate = Path(script(SLOW)), tmp_path / "gate"
    first = serve(path)
    assert first.first_line() == f"ready {load_settings().address.servers[0]}\n"  # without the token
    function = busfn.Function.from_name(app, "f")
    running = function.spawn(str(gate))
    eventually(Path(f"{gate}.started").exists)

    second = serve(path)
    assert second.first_line() == ""
    assert second.end(None) == 1
    assert f"an app named {app!r} is being run on this bus already" in second.said
    assert "Traceback" not in second.said

    pid = busfn.Function.from_name(app, "pid").remote()
    text = path.read_text()
    path.write_text(text[: text.index("@app.function()\ndef pid")].replace('"one"', '"two"'))
    eventually(lambda: function.remote() == "two")
    gate.touch()
    assert running.get(timeout=30) == "one"  # what ran finished on its code
    assert any(one.startswith("JOBS") for one in traces(app))
    assert first.end() == 130
    assert traces(app) == set()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(errors.ConnectionError):
        function.remote()


def test_an_app_that_is_renamed_to_one_that_others_serve_keeps_its_name(
    shared_bus: None, serve: Callable[[Path], Session], app: str, script: Callable[..., str], tmp_path: Path, eventually
) -> None:
    mine, theirs = Path(script(SLOW)), tmp_path / "theirs.py"
    theirs.write_text(mine.read_text().replace(app, f"{app}-theirs"))
    sessions = [serve(path) for path in (mine, theirs)]
    assert all(session.first_line() for session in sessions), [session.said for session in sessions]
    assert busfn.Function.from_name(app, "f").remote() == "one"  # a worker runs from now on
    mine.write_text(mine.read_text().replace(app, f"{app}-theirs"))
    eventually(lambda: "is served on" in sessions[0].said)
    assert f"an app named '{app}-theirs' is being run" in sessions[0].said
    assert busfn.Function.from_name(app, "f").remote() == "one"
    mine.write_text(mine.read_text().replace(f"{app}-theirs", f"{app}-other"))
    eventually(lambda: f"serving {app}-other" in sessions[0].said)
    assert busfn.Function.from_name(f"{app}-other", "f").remote() == "one"
    assert [session.end(signal.SIGTERM) for session in sessions] == [130, 130]
    assert traces(app) == set()
