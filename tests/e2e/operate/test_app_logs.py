"""`busfn app logs`: what deployed bodies print, kept, found again and followed; and one that prints without end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import busfn

APP = """
    import logging, os, subprocess, sys, threading, time
    from pathlib import Path

    import busfn

    print("imported")
    handler = logging.StreamHandler()
    logging.getLogger("shop").addHandler(handler)

    app = busfn.App("shop")

    @app.function(max_containers=1)
    def talk(word: str) -> str:
        print("out", word)
        logging.getLogger("shop").warning("log %s", word)
        thread = threading.Thread(target=print, args=("thread", word))
        thread.start()
        thread.join()
        subprocess.run([sys.executable, "-c", f"print('child {word}')"], check=True)
        os.write(1, f"descriptor {word}\\n".encode())
        sys.stdout.buffer.write(b"\\xff " + word.encode() + b"\\n")
        return busfn.current_function_call_id()

    @app.function(max_containers=1)
    def half(word: str) -> None:
        print("half", word, end="", flush=True)
        os._exit(1)

    @app.function(max_containers=1, timeout=120)
    def storm(stop: str) -> int:
        lines = 0
        while not Path(stop).exists():
            for _ in range(1000):
                sys.stdout.write(f"storm {lines}\\n")
                lines += 1
        return lines

    @app.function(max_containers=1, min_containers=1)
    def echo(x: int) -> int:
        return x
"""

BUSFN = str(Path(sys.executable).parent / "busfn")
Script = Callable[..., str]
Eventually = Callable[[Callable[[], bool]], None]


@contextmanager
def following(*args: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [BUSFN, "app", "logs", *args, "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


@pytest.fixture
def shop(up, script: Script):
    up.busfn("deploy", script(APP))
    return up


def function(name: str) -> busfn.Function:
    return busfn.Function.from_name("shop", name)


def lines(up, *args: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in up.busfn("app", "logs", "shop", "--json", *args).splitlines()]


def test_lines_are_found_by_call_however_they_were_printed(shop, eventually: Eventually) -> None:
    calls = {word: function("talk").remote(word) for word in ("one", "two")}
    expected = {"out", "log", "thread", "child", "descriptor", "\ufffd"}
    for word, call in calls.items():
        eventually(lambda call=call: len(lines(shop, "--call", call)) == len(expected))
        found = lines(shop, "--call", f"shop.talk.{call}")
        assert {line["text"] for line in found} == {f"{kind} {word}" for kind in expected}
        assert {(line["app"], line["function"], line["call"], line["index"]) for line in found} == {
            ("shop", "talk", call, 0)
        }
        assert {line["stream"] for line in found if str(line["text"]).startswith("log")} == {"err"}
    assert [line["call"] for line in lines(shop) if line["text"] == "imported"][:1] == ["-"]


def test_lines_are_limited_by_number_function_and_time(shop, eventually: Eventually) -> None:
    list(function("talk").map([f"w{n}" for n in range(30)]))
    eventually(lambda: len(lines(shop, "--since", "1h", "--function", "talk")) >= 180)
    assert len(lines(shop)) == 100
    assert len(lines(shop, "--tail", "7")) == 7
    assert lines(shop, "--since", "2020-01-01", "--until", "2020-01-02") == []
    assert shop.busfn("app", "logs", "shop", "-n", "1", "--function", "talk").startswith("talk | ")
    stamped = shop.busfn("app", "logs", "shop", "-n", "1", "--function", "talk", "--timestamps")
    assert stamped[:2] == "20"
    assert " talk | " in stamped
    by_index = {line["index"] for line in lines(shop, "--since", "1h") if line["call"] != "-"}
    assert by_index == set(range(30))


def test_a_worker_that_dies_in_the_middle_of_a_line(shop, eventually: Eventually) -> None:
    call = function("half").spawn("word")
    with pytest.raises(busfn.errors.Error):
        call.get(timeout=60)
    eventually(lambda: "half word" in {line["text"] for line in lines(shop, "--call", call.object_id)})


def test_following_goes_on_until_ctrl_c(shop) -> None:
    function("talk").remote("before")
    with following("shop", "--function", "talk") as process:
        assert process.stdout is not None
        seen = ""
        while "before" not in seen:
            seen = process.stdout.readline()
        function("talk").remote("after")
        while "thread after" not in seen:
            seen = process.stdout.readline()
            assert seen
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_wrong_usage(shop) -> None:
    assert "-f and --until" in shop.run("app", "logs", "shop", "-f", "--until", "1h").stderr
    for wrong in (
        ["shop", "-f", "--until", "1h"], ["shop", "--since", "soon"], ["a.b"], ["shop", "--call", "*"],
        ["shop", "--call", "other.f.0123"], ["shop", "--function", "a b"],
    ):  # fmt: skip
        shop.busfn("app", "logs", *wrong, code=2)
    assert "no app 'shap'" in shop.run("app", "logs", "shap").stderr


def test_a_storm_of_lines_loses_none_and_holds_up_nobody_else(shop, tmp_path: Path, eventually: Eventually) -> None:
    stop = tmp_path / "stop"
    echo = function("echo")
    assert echo.remote(1) == 1
    agent = shop.children()["agentd"]
    before = resident(agent)
    call = function("storm").spawn(str(stop))
    eventually(lambda: bool(lines(shop, "--function", "storm", "-n", "1")))
    answers = [echo.remote(n) for n in range(300)]
    grown = resident(agent) - before
    stop.touch()
    total = call.get(timeout=60)
    assert answers == list(range(300))
    assert grown < 64 << 20
    eventually(lambda: lines(shop, "--function", "storm", "-n", "1")[0]["text"] == f"storm {total - 1}")
    found = shop.busfn("app", "logs", "shop", "--function", "storm", "--since", "1h", "--call", call.object_id)
    texts = "".join(line.removeprefix("storm | storm ") for line in found.splitlines(keepends=True)).split()
    assert texts == [str(n) for n in range(total)]


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
