"""Who serves an app's name: a run beside a deployed app, two runs, workers, a deploy while something runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import busfn
from busfn.binding import DEFAULT
from busfn.operating import Operator

BUSFN = str(Path(sys.executable).parent / "busfn")

APP = """
    import sys
    import busfn

    app = busfn.App("$APP")

    @app.function()
    def which() -> str:
        return "{version}"

    @app.function()
    def through() -> list[str]:
        return [which.remote(), *which.map([]), which.spawn().get(timeout=30), which.app_name]

    @app.function()
    def call(handle) -> str:
        return handle.remote()

    @app.local_entrypoint()
    def main():
        print(which.remote(), *through.remote()[:2], call.remote(which), which.spawn().get(timeout=30))
        print(busfn.Function.from_name("$APP", "which").remote())
        print("up", flush=True)
        sys.stdin.readline()
"""


def claimed(app: str) -> dict[str, str]:
    """Who serves an app without a deployment."""
    client = DEFAULT.require("a test")
    found = client.link.portal.run(Operator(client).claims.all())
    return {token: claim.use for token, claim in found.items() if token.partition("@")[0] == app}


class Run:
    """A `busfn run` that waits for a line once it is up."""

    def __init__(self, *args: str) -> None:
        command = [BUSFN, "run", *args]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def until_up(self) -> str:
        """What it prints until it is up."""
        assert self._process.stdout is not None
        said = ""
        while (line := self._process.stdout.readline()) not in ("up\n", ""):
            said += line
        return said

    def end(self) -> tuple[int, str]:
        """Exit code, and what was on its stderr."""
        _, err = self._process.communicate("\n", timeout=60)
        return self._process.returncode, err


def test_a_run_of_a_deployed_app_is_an_app_of_its_own(up, app: str, script: Callable[..., str]) -> None:
    up.busfn("deploy", script(APP.replace("{version}", "deployed")))
    path = script(APP.replace("{version}", "mine"))
    by_name = busfn.Function.from_name(app, "which")
    assert by_name.remote() == "deployed"
    run = Run(path)
    assert run.until_up().splitlines() == ["mine mine mine mine mine", "deployed"]
    (token,) = claimed(app)
    assert token.startswith(f"{app}@run-")
    assert {by_name.remote() for _ in range(40)} == {"deployed"}
    assert set(by_name.spawn_map([()] * 0).iter()) == set()
    assert {call.get(timeout=30) for call in [by_name.spawn() for _ in range(10)]} == {"deployed"}
    code, err = run.end()
    assert (code, err) == (0, f"{app} is served by others on this bus: this run is an app of its own, {token}\n")
    assert claimed(app) == {}


def test_two_runs_of_one_app_go_on_beside_one_another(up, app: str, script: Callable[..., str]) -> None:
    first = Run(script(APP.replace("{version}", "first")))
    assert first.until_up().splitlines() == ["first first first first first", "first"]
    path = Path(script(APP.replace("{version}", "first")))
    other = path.with_name("other.py")
    other.write_text(path.read_text().replace('"first"', '"second"'))
    second = Run(str(other))
    assert second.until_up().splitlines() == ["second second second second second", "first"]
    assert sorted(claimed(app).values()) == ["run", "run"]
    rows = {row["name"]: row for row in up.json("app", "list") if row["name"].startswith(app)}
    assert {(row["state"], bool(row["where"])) for row in rows.values()} == {("run", True)}
    assert rows.keys() == claimed(app).keys()
    assert first.end() == (0, "")
    code, err = second.end()
    assert code == 0
    assert "this run is an app of its own" in err
    assert claimed(app) == {}


def test_a_detached_run_of_a_deployed_app_is_found_by_its_call(up, app: str, script: Callable[..., str]) -> None:
    up.busfn("deploy", script(APP.replace("{version}", "deployed")))
    done = up.run("run", "--detach", f"{script(APP.replace('{version}', 'mine'))}::which")
    assert done.returncode == 0, done.stderr
    assert f"{app}@run-" in done.stdout
    assert busfn.FunctionCall.from_id(done.stdout.strip()).get(timeout=30) == "mine"


def test_workers_of_a_deployed_app_are_refused_unless_they_join(up, app: str, script: Callable[..., str]) -> None:
    path = script(APP.replace("{version}", "deployed"))
    up.busfn("deploy", path)
    command = [BUSFN, "worker", f"{path}::which"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert (
        f"an app named {app!r} is deployed on this bus (version 1): these workers would take its calls"
        in refused.stderr
    )
    assert "`--join`" in refused.stderr
    assert "Traceback" not in refused.stderr
    joined = subprocess.Popen([*command, "--join"], stdout=subprocess.PIPE, text=True)
    assert joined.stdout is not None
    assert joined.stdout.readline().startswith("ready")
    joined.send_signal(signal.SIGTERM)
    joined.communicate(timeout=60)
    assert joined.returncode == 0


def test_a_first_deploy_is_refused_while_a_run_has_the_name(up, app: str, script: Callable[..., str]) -> None:
    path = script(APP.replace("{version}", "one"))
    run = Run(path)
    assert run.until_up()
    refused = up.run("deploy", path)
    assert refused.returncode == 1
    assert f"an app named {app!r} is being run on this bus already, by `busfn run`" in refused.stderr
    assert run.end() == (0, "")
    up.busfn("deploy", path)
