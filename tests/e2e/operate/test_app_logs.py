"""`busfn app logs`: what deployed bodies print, kept, found again and followed; and one that prints without end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import busfn

APP = """
    import logging, os, subprocess, sys, threading, time
    from pathlib import Path

    import busfn

    print("imported")
    handler = logging.StreamHandler()
    logging.getLogger("$APP").addHandler(handler)

    app = busfn.App("$APP")

    @app.function(max_containers=1)
    def talk(word: str) -> str:
        print("out", word)
        logging.getLogger("$APP").warning("log %s", word)
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

    @app.function(max_containers=1)
    def fail(word: str) -> None:
        raise LookupError(word)

    @app.function(max_containers=1)
    def fail_later(word: str):
        yield word
        raise LookupError(word)

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


@dataclass(frozen=True)
class Shop:
    """The app of this page, deployed."""

    up: Any
    name: str

    def function(self, name: str) -> busfn.Function:
        return busfn.Function.from_name(self.name, name)

    def logs(self, *args: str) -> str:
        return self.up.busfn("app", "logs", self.name, *args)

    def lines(self, *args: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.logs("--json", *args).splitlines()]


@pytest.fixture
def shop(up, app: str, script: Script) -> Shop:
    up.busfn("deploy", script(APP))
    return Shop(up, app)


def test_lines_are_found_by_call_however_they_were_printed(shop: Shop, eventually: Eventually) -> None:
    calls = {word: shop.function("talk").remote(word) for word in ("one", "two")}
    expected = {"out", "log", "thread", "child", "descriptor", "\ufffd"}
    for word, call in calls.items():
        eventually(lambda call=call: len(shop.lines("--call", call)) == len(expected))
        assert call.startswith(f"{shop.name}.talk.")
        found = shop.lines("--call", call.rpartition(".")[2])
        assert {line["text"] for line in found} == {f"{kind} {word}" for kind in expected}
        assert {(line["app"], line["function"], line["call"], line["index"]) for line in found} == {
            (shop.name, "talk", call.rpartition(".")[2], 0)
        }
        assert {line["stream"] for line in found if str(line["text"]).startswith("log")} == {"err"}
    assert [line["call"] for line in shop.lines() if line["text"] == "imported"][:1] == ["-"]


def test_silent_failure_is_in_the_logs_however_it_was_called(shop: Shop, eventually: Eventually) -> None:
    fail = shop.function("fail")
    spawned = fail.spawn("spawned")
    with pytest.raises(LookupError):
        spawned.get(timeout=30)
    mapped = fail.spawn_map(["a", "b"])
    assert [type(one) for one in fail.map(["c", "d"], return_exceptions=True)] == [LookupError, LookupError]
    with pytest.raises(LookupError):
        fail.remote("remote")
    with pytest.raises(LookupError):
        list(shop.function("fail_later").remote_gen("generator"))
    eventually(lambda: sum("LookupError: " in str(line["text"]) for line in shop.lines("--since", "1h")) == 7)
    found = shop.lines("--call", spawned.object_id)
    assert found[0]["text"] == "Traceback (most recent call last):"
    assert found[-1]["text"] == f"busfn: call {spawned.object_id} has failed"
    assert {(line["stream"], line["index"]) for line in found} == {("err", 0)}
    ends = [
        (line["index"], line["text"]) for line in shop.lines("--call", mapped.object_id) if "Error: " in line["text"]
    ]
    assert sorted(ends) == [(0, "LookupError: a"), (1, "LookupError: b")]


def test_a_killed_worker_is_in_the_logs_of_its_call(shop: Shop, eventually: Eventually) -> None:
    call = shop.function("half").spawn("word")
    with pytest.raises(busfn.errors.InternalFailure):
        call.get(timeout=60)
    eventually(
        lambda: sum("exited with code 1" in str(line["text"]) for line in shop.lines("--call", call.object_id)) == 3
    )


ESCAPE = "\x1b]0;owned\x07\x1b[2J"


def test_no_control_characters_of_others_reach_the_terminal(shop: Shop, script: Script, eventually: Eventually) -> None:
    call = shop.function("talk").spawn(ESCAPE)
    assert call.get(timeout=30)
    with pytest.raises(LookupError):
        shop.function("fail").spawn(ESCAPE).get(timeout=30)
    eventually(lambda: "out" in shop.logs("--call", call.object_id))
    shop.up.busfn("deploy", script(APP), "--tag", ESCAPE)
    listed = [
        shop.logs("--since", "1h"),
        *(shop.up.busfn(*args) for args in (["dead", "list"], ["app", "list"], ["app", "history", shop.name])),
        shop.up.busfn("app", "describe", shop.name),
    ]
    (letter,) = [line.split()[0] for line in listed[1].splitlines() if line.startswith(f"{shop.name}.")]
    listed.append(shop.up.busfn("dead", "show", letter))
    for text in listed:
        assert r"\x1b]0;owned\x07\x1b[2J" in text
        assert not {"\x1b", "\x07"} & set(text)
    failed = shop.up.run("call", "get", letter.rpartition(".")[0])
    assert r"LookupError: \x1b]0;owned" in failed.stderr
    assert "\x1b" not in failed.stderr
    assert any(ESCAPE in str(line["text"]) for line in shop.lines("--since", "1h")), "programs get it as it is"


def test_lines_are_limited_by_number_function_and_time(shop: Shop, eventually: Eventually) -> None:
    list(shop.function("talk").map([f"w{n}" for n in range(30)]))
    eventually(lambda: len(shop.lines("--since", "1h", "--function", "talk")) >= 180)
    assert len(shop.lines()) == 100
    assert len(shop.lines("--tail", "7")) == 7
    assert shop.lines("--since", "2020-01-01", "--until", "2020-01-02") == []
    assert shop.logs("-n", "1", "--function", "talk").startswith("talk | ")
    stamped = shop.logs("-n", "1", "--function", "talk", "--timestamps")
    assert stamped[:2] == "20"
    assert " talk | " in stamped
    by_index = {line["index"] for line in shop.lines("--since", "1h") if line["call"] != "-"}
    assert by_index == set(range(30))


def test_a_worker_that_dies_in_the_middle_of_a_line(shop: Shop, eventually: Eventually) -> None:
    call = shop.function("half").spawn("word")
    with pytest.raises(busfn.errors.Error):
        call.get(timeout=60)
    eventually(lambda: "half word" in {line["text"] for line in shop.lines("--call", call.object_id)})


def test_following_goes_on_until_ctrl_c(shop: Shop) -> None:
    shop.function("talk").remote("before")
    with following(shop.name, "--function", "talk") as process:
        assert process.stdout is not None
        seen = ""
        while "before" not in seen:
            seen = process.stdout.readline()
        shop.function("talk").remote("after")
        while "thread after" not in seen:
            seen = process.stdout.readline()
            assert seen
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_wrong_usage(shop: Shop) -> None:
    assert "-f and --until" in shop.up.run("app", "logs", shop.name, "-f", "--until", "1h").stderr
    for wrong in (
        [shop.name, "-f", "--until", "1h"], [shop.name, "--since", "soon"], ["a.b"], [shop.name, "--call", "*"],
        [shop.name, "--call", "other.f.0123"], [shop.name, "--function", "a b"],
    ):  # fmt: skip
        shop.up.busfn("app", "logs", *wrong, code=2)
    assert "no app 'shap'" in shop.up.run("app", "logs", "shap").stderr


def test_a_storm_of_lines_loses_none_and_holds_up_nobody_else(
    shop: Shop, tmp_path: Path, eventually: Eventually
) -> None:
    stop = tmp_path / "stop"
    echo = shop.function("echo")
    assert echo.remote(1) == 1
    agent = shop.up.children()["agentd"]
    before = resident(agent)
    calm = [timed(echo, n) for n in range(300)]
    began = time.monotonic()
    call = shop.function("storm").spawn(str(stop))
    eventually(lambda: bool(shop.lines("--function", "storm", "-n", "1")))
    stormy = [timed(echo, n) for n in range(300)]
    answers, grown = [answer for answer, _ in stormy], resident(agent) - before
    stop.touch()
    total = call.get(timeout=60)
    print(
        f"more than {total / (time.monotonic() - began + 2):,.0f} lines/s; calls of another function, median and p99:"
    )
    for name, times in (("calm", calm), ("storm", stormy)):
        ordered = sorted(took for _, took in times)
        print(f"  {name}: {ordered[150] * 1000:.2f} ms, {ordered[297] * 1000:.2f} ms")
    assert answers == list(range(300))
    assert grown < 64 << 20
    eventually(lambda: shop.lines("--function", "storm", "-n", "1")[0]["text"] == f"storm {total - 1}")
    found = shop.logs("--function", "storm", "--since", "1h", "--call", call.object_id)
    texts = "".join(line.removeprefix("storm | storm ") for line in found.splitlines(keepends=True)).split()
    assert texts == [str(n) for n in range(total)]


def timed(function: busfn.Function, x: int) -> tuple[int, float]:
    began = time.monotonic()
    return function.remote(x), time.monotonic() - began


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
