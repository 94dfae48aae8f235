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

    app = busfn.App("shop")

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


def app(version: str) -> str:
    return APP.format(version=version)


def test_a_deployed_app_is_served_to_everyone_and_from_zero(up, script: Script) -> None:
    assert up.busfn("deploy", script(app("one")), "--tag", "first") == "deployed shop version 1: version, slow\n"
    assert up.workers() == []
    function = busfn.Function.from_name("shop", "version")
    assert function.hydrate() is function
    assert function.remote() == "one"
    assert function.spawn().get(timeout=30) == "one"
    assert list(function.map(range(3))) == ["one"] * 3
    url = up.busfn("url").strip()

    async def ask() -> bytes:
        client = await nats.connect(url)
        answer = await client.request("busfn.main.fn.shop.version", b"", timeout=20)
        await client.close()
        return answer.data

    assert asyncio.run(ask()) == b'"one"'
    with pytest.raises(errors.NotFoundError, match="has version, slow"):
        busfn.Function.from_name("shop", "nothing").hydrate()
    with pytest.raises(errors.NotFoundError, match="not deployed"):
        busfn.Function.from_name("shap", "version").hydrate()
    assert list(busfn.App.lookup("shop").functions) == ["version", "slow"]
    with pytest.raises(errors.NotFoundError, match="not deployed"):
        busfn.App.lookup("shap")


def test_the_code_travels_whole_and_leaves_out_what_is_named(up, script: Script, tmp_path: Path) -> None:
    path = script("""
        from pathlib import Path

        import busfn
        import helper

        app = busfn.App("shop")

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
    greeting, text, where = busfn.Function.from_name("shop", "read").remote()
    assert (greeting, text) == ("hello", "from a file")
    assert where != str(folder)


def test_a_new_version_takes_over_without_an_error_under_load(up, script: Script, tmp_path: Path) -> None:
    up.busfn("deploy", script(app("one")))
    function = busfn.Function.from_name("shop", "version")
    gate = str(tmp_path / "gate")
    running = busfn.Function.from_name("shop", "slow").spawn(gate)
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
        up.busfn("deploy", script(app(version)))
        deadline = time.monotonic() + 30
        while version not in seen[-20:]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    up.busfn("deploy", script(app("four")), "--strategy", "recreate")
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


def test_history_rollback_and_pinned_versions(up, script: Script, eventually: Eventually) -> None:
    function = busfn.Function.from_name("shop", "version")
    for version in ("one", "two"):
        up.busfn("deploy", script(app(version)), "--tag", version)
    assert up.busfn("app", "rollback", "shop") == "shop is at version 3, which is version 1 again\n"
    eventually(lambda: function.remote() == "one")
    rows = up.json("app", "history", "shop")
    assert [(row["version"], row["tag"], row["remark"], row["current"]) for row in rows] == [
        (3, "one", "rollback of v1", "current"), (2, "two", "", ""), (1, "one", "", ""),
    ]  # fmt: skip
    pinned = busfn.Function.from_name("shop", "version", version=2).hydrate()
    assert pinned.remote() == "two"
    assert pinned.spawn().get(timeout=30) == "two"
    assert function.remote() == "one"
    with pytest.raises(errors.NotFoundError, match="no version 9"):
        busfn.Function.from_name("shop", "version", version=9).hydrate()
    up.busfn("app", "rollback", "shop", "v2")
    eventually(lambda: function.remote() == "two")
    up.busfn("app", "rollback", "shop", "v9", code=1)
    up.busfn("app", "rollback", "shop", "nine", code=2)


def test_a_broken_version_does_not_take_over_and_says_why(up, script: Script, eventually: Eventually) -> None:
    up.busfn("deploy", script(app("one")))
    function = busfn.Function.from_name("shop", "version")
    assert function.remote() == "one"
    broken = "import os\nif 'BUSFN_WORKER_ID' in os.environ: raise RuntimeError('no database')\n"
    up.busfn("deploy", script(broken + app("two").replace("\n    ", "\n")))
    eventually(lambda: "no database" in up.busfn("app", "describe", "shop"))
    assert [function.remote() for _ in range(5)] == ["one"] * 5
    up.busfn("deploy", script(app("three")))
    eventually(lambda: function.remote() == "three")
    assert "no database" not in up.busfn("app", "describe", "shop")


def test_a_stopped_app_keeps_what_is_queued_until_it_is_deployed_again(up, script: Script, tmp_path: Path) -> None:
    path = script(app("one"))
    up.busfn("deploy", path)
    slow = busfn.Function.from_name("shop", "slow")
    gate = str(tmp_path / "gate")
    running = [slow.spawn(gate) for _ in range(2)]
    queued = slow.spawn(gate)
    while len(up.workers("slow")) < 2 or not Path(gate + ".started").exists():
        time.sleep(0.05)
    assert up.busfn("app", "stop", "shop", "--yes") == "shop is stopped\n"
    assert up.busfn("app", "stop", "shop", "--yes") == "shop was stopped already\n"
    Path(gate).touch()
    assert [call.get(timeout=30) for call in running] == ["one", "one"]
    with pytest.raises(errors.NoResponders):
        busfn.Function.from_name("shop", "version").remote()
    with pytest.raises(errors.NotFoundError):
        busfn.App.lookup("shop")
    up.busfn("deploy", path)
    assert queued.get(timeout=30) == "one"


def test_app_deploy_in_a_script(up, script: Script) -> None:
    text = app("one").replace("\n    ", "\n")
    path = script(text + "\nif __name__ == '__main__':\n    print(app.deploy(tag='by hand').version)\n")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1\n"
    assert busfn.Function.from_name("shop", "version").remote() == "one"


def test_code_that_was_signed_with_another_key_is_not_run(up, script: Script, monkeypatch, eventually) -> None:
    monkeypatch.setenv("BUSFN_SIGNING_KEY", "a stranger's")
    up.busfn("deploy", script(app("one")))
    with pytest.raises(errors.ServiceError, match="signed with another key"):
        busfn.Function.from_name("shop", "version").remote()
    assert up.workers() == []


def test_a_run_does_not_mix_with_a_deployed_app(up, script: Script) -> None:
    path = script(app("one"))
    up.busfn("deploy", path)
    done = up.run("run", f"{path}::version")
    assert done.returncode == 1
    assert "is deployed on this bus" in done.stderr
    assert up.busfn("run", "--env", "other", f"{path}::version") == "one\n"
