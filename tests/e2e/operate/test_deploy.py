"""Deployed apps: versions, how one takes over from another, and what becomes of calls meanwhile."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import nats
import pytest

import busfn
from busfn import errors

APP = """
    import os, time
    from pathlib import Path

    import busfn

    app = busfn.App("$APP")

    @app.function(max_containers=2)
    def version(x: int = 0) -> str:
        return "{version}"

    @app.function(max_containers=2)
    def slow(gate: str) -> str:
        Path(gate + ".started").touch()
        while not Path(gate).exists():
            time.sleep(0.01)
        return "{version}"
"""

Script = Callable[..., str]
Eventually = Callable[[Callable[[], bool]], None]


def code(version: str) -> str:
    return APP.format(version=version)


def test_a_deployed_app_is_served_to_everyone_and_from_zero(up, app: str, script: Script) -> None:
    assert up.busfn("deploy", script(code("one")), "--tag", "first") == f"deployed {app} version 1: version, slow\n"
    assert up.workers(app) == []
    function = busfn.Function.from_name(app, "version")
    assert function.hydrate() is function
    assert function.remote() == "one"
    assert function.spawn().get(timeout=30) == "one"
    assert list(function.map(range(3))) == ["one"] * 3
    url = up.busfn("url").strip()

    async def ask() -> bytes:
        client = await nats.connect(url)
        answer = await client.request(f"busfn.main.fn.{app}.version", b"", timeout=20)
        await client.close()
        return answer.data

    assert asyncio.run(ask()) == b'"one"'
    with pytest.raises(errors.NotFoundError, match="it has slow, version"):
        busfn.Function.from_name(app, "nothing").hydrate()
    with pytest.raises(errors.NotFoundError, match="there is no such app"):
        busfn.Function.from_name("shap", "version").hydrate()
    assert list(busfn.App.lookup(app).functions) == ["version", "slow"]
    with pytest.raises(errors.NotFoundError, match="is not deployed"):
        busfn.App.lookup("shap")


def test_the_code_travels_whole_and_leaves_out_what_is_named(up, app: str, script: Script, tmp_path: Path) -> None:
    path = script("""
        from pathlib import Path

        import busfn
        import helper

        app = busfn.App("$APP")

        @app.function()
        def read() -> list[str]:
            here = Path(__file__).parent
            return [helper.GREETING, (here / "data" / "text.txt").read_text(), str(here)]
    """)
    folder = Path(path).parent
    (folder / "helper.py").write_text("GREETING = 'hello'")
    (folder / "data").mkdir()
    (folder / "data" / "text.txt").write_text("from a file")
    (folder / "secrets").mkdir()
    (folder / "secrets" / "key").write_text("x")
    (folder / ".busfnignore").write_text("# not for others\nsecrets/\n")
    assert up.busfn("deploy", path, "--dry-run").split() == ["data/text.txt", "helper.py", "shop.py"]
    up.busfn("deploy", path)
    greeting, text, where = busfn.Function.from_name(app, "read").remote()
    assert (greeting, text) == ("hello", "from a file")
    assert where != str(folder)


def test_a_new_version_takes_over_without_an_error_under_load(up, app: str, script: Script, tmp_path: Path) -> None:
    up.busfn("deploy", script(code("one")))
    function = busfn.Function.from_name(app, "version")
    gate = str(tmp_path / "gate")
    running = busfn.Function.from_name(app, "slow").spawn(gate)
    while not Path(gate + ".started").exists():
        time.sleep(0.01)
    seen: list[str] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            try:
                seen.append(function.remote())
            except BaseException as error:
                failures.append(error)
            time.sleep(0.01)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in ("two", "three"):
        up.busfn("deploy", script(code(version)))
        deadline = time.monotonic() + 30
        while version not in seen[-20:]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    up.busfn("deploy", script(code("four")), "--strategy", "recreate")
    while "four" not in seen[-20:]:
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(dict.fromkeys(seen))[:1] == ["one"]
    assert set(seen) == {"one", "two", "three", "four"}
    Path(gate).touch()
    assert running.get(timeout=30) == "one"  # what ran finished on its version


def test_history_rollback_and_pinned_versions(up, app: str, script: Script, eventually: Eventually) -> None:
    function = busfn.Function.from_name(app, "version")
    for version in ("one", "two"):
        up.busfn("deploy", script(code(version)), "--tag", version)
    assert up.busfn("app", "rollback", app) == f"{app} is at version 3, which is version 1 again\n"
    eventually(lambda: function.remote() == "one")
    rows = up.json("app", "history", app)
    assert [(row["version"], row["tag"], row["remark"], row["current"]) for row in rows] == [
        (3, "one", "rollback of v1", "current"), (2, "two", "", ""), (1, "one", "", ""),
    ]  # fmt: skip
    pinned = busfn.Function.from_name(app, "version", version=2).hydrate()
    assert pinned.remote() == "two"
    assert pinned.spawn().get(timeout=30) == "two"
    assert function.remote() == "one"
    with pytest.raises(errors.NotFoundError, match="no version 9"):
        busfn.Function.from_name(app, "version", version=9).hydrate()
    up.busfn("app", "rollback", app, "v2")
    eventually(lambda: function.remote() == "two")
    up.busfn("app", "rollback", app, "v9", code=1)
    up.busfn("app", "rollback", app, "nine", code=2)


def test_a_broken_version_does_not_take_over_and_says_why(up, app: str, script: Script, eventually: Eventually) -> None:
    up.busfn("deploy", script(code("one")))
    function = busfn.Function.from_name(app, "version")
    assert function.remote() == "one"
    broken = "import os\nif 'BUSFN_WORKER_ID' in os.environ: raise RuntimeError('no database')\n"
    up.busfn("deploy", script(broken + code("two").replace("\n    ", "\n")))
    eventually(lambda: "no database" in up.busfn("app", "describe", app))
    assert [function.remote() for _ in range(5)] == ["one"] * 5
    up.busfn("deploy", script(code("three")))
    eventually(lambda: function.remote() == "three")
    assert "no database" not in up.busfn("app", "describe", app)


def test_a_stopped_app_keeps_what_is_queued_until_it_is_deployed_again(
    up, app: str, script: Script, tmp_path: Path
) -> None:
    path = script(code("one"))
    up.busfn("deploy", path)
    slow = busfn.Function.from_name(app, "slow")
    gate = str(tmp_path / "gate")
    running = [slow.spawn(gate) for _ in range(2)]
    queued = slow.spawn(gate)
    while len(up.workers(app, "slow")) < 2 or not Path(gate + ".started").exists():
        time.sleep(0.05)
    assert up.busfn("app", "stop", app, "--yes") == f"{app} is stopped\n"
    assert up.busfn("app", "stop", app, "--yes") == f"{app} was stopped already\n"
    Path(gate).touch()
    assert [call.get(timeout=30) for call in running] == ["one", "one"]
    with pytest.raises(errors.NoResponders):
        busfn.Function.from_name(app, "version").remote()
    with pytest.raises(errors.NotFoundError):
        busfn.App.lookup(app)
    up.busfn("deploy", path)
    assert queued.get(timeout=30) == "one"


def test_a_stopped_app_leaves_nothing_to_look_after_on_the_bus(up, app: str, script: Script, eventually: Eventually):
    path = script(code("one"))
    url = up.busfn("url").strip()

    async def consumers(stream: str) -> list[str]:
        client = await nats.connect(url)
        found = await client.jetstream().consumers_info(stream)
        await client.close()
        return sorted(one.name for one in found if one.name.startswith(f"{app}="))

    def made() -> list[str]:
        return [name for stream in ("BUSFN_main_JOBS", "BUSFN_main_OVF") for name in asyncio.run(consumers(stream))]

    up.busfn("deploy", path)
    assert busfn.Function.from_name(app, "version").spawn().get(timeout=30) == "one"
    assert made() == [f"{app}=slow", f"{app}=version"] * 2
    up.busfn("app", "stop", app, "--yes")
    eventually(lambda: made() == [])
    up.busfn("deploy", path)
    assert busfn.Function.from_name(app, "version").spawn().get(timeout=30) == "one"


def test_app_deploy_in_a_script(up, app: str, script: Script) -> None:
    text = code("one").replace("\n    ", "\n")
    path = script(text + "\nif __name__ == '__main__':\n    print(app.deploy(tag='by hand').version)\n")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1\n"
    assert busfn.Function.from_name(app, "version").remote() == "one"


def test_code_that_was_signed_with_another_key_is_not_run(
    up, app: str, script: Script, monkeypatch, eventually
) -> None:
    monkeypatch.setenv("BUSFN_SIGNING_KEY", "a stranger's")
    up.busfn("deploy", script(code("one")))
    with pytest.raises(errors.ServiceError, match="signed with another key"):
        busfn.Function.from_name(app, "version").remote()
    assert up.workers(app) == []


NESTED = """
    import busfn

    app = busfn.App("$APP")

    @app.function()
    def inner(x: int = 0) -> str:
        return "{version}"

    later = inner.with_options(delay=0.01)

    @app.function()
    def outer() -> list[str]:
        return ["{version}", inner.remote(), *inner.map([0]), later.spawn().get(timeout=30), inner.app_name]
"""


def test_what_calls_its_own_app_stays_within_its_deployment(up, app: str, script: Callable[..., str]) -> None:
    """Pinned to a version, or deployed under another name, which the code does not know."""
    for version in ("one", "two"):
        up.busfn("deploy", script(NESTED.format(version=version)))
    outer, other = busfn.Function.from_name(app, "outer"), f"{app}-other"
    assert outer.remote() == ["two"] * 4 + [app]
    pinned = busfn.Function.from_name(app, "outer", version=1).hydrate()
    assert pinned.remote() == ["one"] * 4 + [f"{app}@1"]
    assert outer.remote() == ["two"] * 4 + [app]
    up.busfn("deploy", script(NESTED.format(version="three")), "--name", other)
    assert busfn.Function.from_name(other, "outer").remote() == ["three"] * 4 + [other]
    up.busfn("app", "stop", other, "--yes")
