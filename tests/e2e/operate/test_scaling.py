"""Deployed functions follow their load: from zero up, down again, and never at the cost of what runs."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import busfn
from busfn import errors

APP = """
    import os, time

    import busfn

    app = busfn.App("$APP")

    def log(path, line):
        with open(path, "a") as file:
            file.write(f"{line}\\n")

    @app.function(max_containers=4, scaledown_window=0.5)
    def work(path: str, x: int, seconds: float) -> int:
        log(path, f"began {x}")
        time.sleep(seconds)
        log(path, f"ended {x}")
        return os.getpid()

    @app.function(scaledown_window=1.0)
    def quick(x: int = 0) -> int:
        return x + 1

    @app.function(max_containers=1)
    def single(path: str, x: int) -> int:
        log(path, x)
        return os.getpid()
"""

Script = Callable[..., str]
Eventually = Callable[..., None]


def test_scaling_down_never_interrupts(
    up, app: str, script: Script, tmp_path: Path, eventually: Eventually, full: bool
) -> None:
    """Waves of bodies that are longer than the window, with pauses that are longer, too."""
    seconds = 20.0 if full else 1.0
    up.busfn("deploy", script(APP))
    work, path = busfn.Function.from_name(app, "work"), str(tmp_path / "log")
    calls = []
    for wave in range(3):
        calls += [work.spawn(path, 10 * wave + i, seconds) for i in range(6)]
        calls[-1].get(timeout=120)
        eventually(lambda: len(up.workers(app, "work")) < 2)
    assert len({call.get(timeout=60) for call in calls}) > 4  # new workers each time
    lines = Counter(Path(path).read_text().splitlines())
    assert len(lines) == 2 * 18
    assert set(lines.values()) == {1}  # each began once, and ended


def test_idle_workers_go_and_the_next_call_brings_one_back(
    up, app: str, script: Script, eventually: Eventually
) -> None:
    up.busfn("deploy", script(APP))
    quick = busfn.Function.from_name(app, "quick")
    for turn in range(3):
        assert quick.remote(turn) == turn + 1
        eventually(lambda: up.workers(app, "quick") == [])
        assert quick.get_current_stats().num_total_runners == 0
        assert quick.spawn(turn).get(timeout=30) == turn + 1


def test_settings_hold_until_the_next_deploy(up, app: str, script: Script, eventually: Eventually) -> None:
    path = script(APP)
    up.busfn("deploy", path)
    quick = busfn.Function.from_name(app, "quick")
    found = quick.update_autoscaler(min_containers=2)
    assert (found.min_containers, found.max_containers) == (2, None)
    eventually(lambda: len(up.workers(app, "quick")) == 2)
    assert up.busfn("function", "scale", f"{app}/quick", "--buffer", "1") == "buffer_containers=1, min_containers=2\n"
    assert "min_containers=2" in up.busfn("app", "describe", app)
    with pytest.raises(errors.InvalidError, match="max_containers"):
        quick.update_autoscaler(max_containers=1)
    with pytest.raises(errors.InvalidError, match="unknown"):
        quick.update_autoscaler(gpu=1)
    up.busfn("function", "scale", f"{app}/quick", code=2)
    up.busfn("deploy", path)
    eventually(lambda: up.workers(app, "quick") == [])


def test_reasons_are_told(up, app: str, script: Script, tmp_path: Path, eventually: Eventually) -> None:
    up.busfn("deploy", script(APP))
    work = busfn.Function.from_name(app, "work")
    calls = [work.spawn(str(tmp_path / "log"), i, 2.0) for i in range(8)]

    def all_are_ready() -> bool:
        [status] = up.json("function", "stats", f"{app}/work")
        assert (status["app"], status["function"]) == (app, "work")
        return status["ready"] == 4 and "4 workers" in status["reason"]

    eventually(all_are_ready)
    assert up.busfn("app", "stats", app)
    for call in calls:
        call.cancel()


def test_reasons_say_how_long_runs_take(up, app: str, script: Script, tmp_path: Path, eventually: Eventually) -> None:
    up.busfn("deploy", script(APP))
    work = busfn.Function.from_name(app, "work")
    work.update_autoscaler(max_containers=3)
    calls = [work.spawn(str(tmp_path / "log"), i, 0.2) for i in range(60)]
    said: list[str] = []

    def with_numbers() -> bool:
        said.append(up.busfn("function", "stats", f"{app}/work"))
        return bool(re.search(r"3 workers: .*backlog [1-9]\d*, busy [123], mean run 2\d\d ms", said[-1]))

    eventually(with_numbers)
    [status] = up.json("function", "stats", f"{app}/work")
    assert 0 < status["running"] <= 3
    assert work.get_current_stats().num_running_inputs <= 3
    for call in calls:
        call.get(timeout=60)


def worked_by_one(up: Any, app: str, script: Script) -> Any:
    """A deployed function that has one worker at most."""
    up.busfn("deploy", script(APP))
    work = busfn.Function.from_name(app, "work")
    work.update_autoscaler(max_containers=1)
    return work


def test_a_worker_that_was_stopped_takes_nothing_new(
    up, app: str, script: Script, tmp_path: Path, eventually: Eventually
) -> None:
    work, path = worked_by_one(up, app, script), str(tmp_path / "log")
    running = work.spawn(path, 1, 2.5)
    eventually(lambda: [one.busy for one in up.workers(app, "work")] == [True])
    [worker] = up.workers(app, "work")
    up.busfn("worker", "stop", worker.name, "--graceful")
    later = work.spawn(path, 2, 0.0)
    assert running.get(timeout=60) == worker.pid
    assert later.get(timeout=60) != worker.pid
    killed = work.spawn(path, 3, 2.5)
    eventually(lambda: "began 3" in Path(path).read_text())
    eventually(lambda: [one.busy for one in up.workers(app, "work")] == [True])
    [worker] = up.workers(app, "work")
    up.busfn("worker", "stop", worker.name)
    assert killed.get(timeout=60) != worker.pid  # it was run again
    up.busfn("worker", "stop", "nobody", code=1)


def test_a_worker_leaves_signals_of_its_group_to_its_parent(
    up, app: str, script: Script, tmp_path: Path, eventually: Eventually
) -> None:
    work, path = worked_by_one(up, app, script), str(tmp_path / "log")
    running = work.spawn(path, 1, 2.5)
    eventually(lambda: Path(path).exists())
    [worker] = up.workers(app, "work")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(worker.pid, number)
    others = [work.spawn(path, 2 + number, 0.0) for number in range(5)]
    assert {call.get(timeout=60) for call in (running, *others)} == {worker.pid}
    lines = Counter(Path(path).read_text().splitlines())
    assert lines == Counter(f"{word} {number}" for number in range(1, 7) for word in ("began", "ended"))


IDLE = """
    import busfn

    app = busfn.App("$APP")

    def make(number):
        def f(x: int = 0) -> int:
            return x + number
        f.__name__ = f.__qualname__ = f"f{number}"
        return f

    for number in range(100):
        globals()[f"f{number}"] = app.function(scaledown_window=1.0)(make(number))
"""
MIB = 1 << 20


def test_a_hundred_functions_that_nobody_calls_cost_no_process_and_little_else(
    own_up, app: str, script: Script, eventually: Eventually, full: bool
) -> None:
    own_up.busfn("deploy", script(IDLE))
    functions = [busfn.Function.from_name(app, f"f{number}") for number in (0, 50, 99)]
    assert [function.remote(1) for function in functions] == [1, 51, 100]
    eventually(lambda: own_up.workers(app) == [])
    controller = own_up.children()["controllerd"]
    began, before = time.monotonic(), cpu_seconds(controller)
    if full:
        time.sleep(30)
        share = (cpu_seconds(controller) - before) / (time.monotonic() - began)
        print(f"the controller of 100 idle functions took {share:.2%} of a core")
        assert share < 0.01
    assert own_up.workers(app) == []
    assert resident(controller) < 120 * MIB
    print(f"and {resident(controller) / MIB:.0f} MiB")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_crash_loop_backs_off_and_says_why(
    up, app: str, script: Script, eventually: Eventually, tmp_path: Path
) -> None:
    marks = tmp_path / "starts"
    text = f"""
        import os
        if "BUSFN_WORKER_ID" in os.environ:
            open({str(marks)!r}, "a").write("x")
            raise ImportError("no such driver")
        import busfn
        app = busfn.App("$APP")
        @app.function(min_containers=1)
        def f() -> int:
            return 1
    """
    up.busfn("deploy", script(text))
    eventually(lambda: "no such driver" in up.busfn("app", "describe", app))
    with pytest.raises(errors.ServiceError, match="no such driver"):
        busfn.Function.from_name(app, "f").remote()
    began, before = time.monotonic(), len(marks.read_text())
    time.sleep(5)
    starts = len(marks.read_text()) - before
    assert starts <= 1 + (time.monotonic() - began) / 1.0  # the pauses start at 1 s and double
    up.busfn("app", "stop", app, "--yes")


def test_consumers_that_are_deleted_by_hand_are_made_again(
    up, app: str, script: Script, eventually: Eventually
) -> None:
    import asyncio

    import nats

    up.busfn("deploy", script(APP))
    quick = busfn.Function.from_name(app, "quick")
    assert quick.remote(1) == 2
    url = up.busfn("url").strip()

    async def delete() -> None:
        client = await nats.connect(url)
        for stream in ("BUSFN_main_JOBS", "BUSFN_main_OVF"):
            assert await client.jetstream().delete_consumer(stream, f"{app}=quick")
        await client.close()

    asyncio.run(delete())
    assert quick.spawn(2).get(timeout=30) == 3
    eventually(lambda: up.workers(app, "quick") == [])
    asyncio.run(delete())
    assert quick.spawn(3).get(timeout=30) == 4
    assert quick.remote(4) == 5


def test_a_paused_consumer_is_noticed_and_mended(up, app: str, script: Script) -> None:
    import asyncio
    import json

    import nats

    up.busfn("deploy", script(APP))
    quick = busfn.Function.from_name(app, "quick")
    quick.update_autoscaler(min_containers=1)
    assert quick.spawn(1).get(timeout=30) == 2
    url = up.busfn("url").strip()

    async def pause() -> None:
        client = await nats.connect(url)
        until = {"pause_until": "2100-01-01T00:00:00Z"}
        answer = await client.request(
            f"$JS.API.CONSUMER.PAUSE.BUSFN_main_JOBS.{app}=quick", json.dumps(until).encode(), timeout=5
        )
        assert json.loads(answer.data)["paused"]
        await client.close()

    asyncio.run(pause())
    assert quick.spawn(2).get(timeout=60) == 3
    assert re.search(f"{app}.quick: consumer .* none is delivered; it is made again", up.log)


def test_messages_that_a_consumer_has_forgotten_are_run_once(
    up, app: str, script: Script, tmp_path: Path, eventually: Eventually
) -> None:
    """A server forgets some after a purge of others, now and then; one that has used up `max_deliver`, always."""
    import asyncio
    import json

    import nats

    path = script(APP)
    up.busfn("deploy", path)
    assert busfn.Function.from_name(app, "quick").spawn(1).get(timeout=30) == 2
    url, consumer = up.busfn("url").strip(), f"BUSFN_main_JOBS.{app}=single"

    async def ask(client: nats.NATS, verb: str, **what: object) -> dict[str, Any]:
        return json.loads((await client.request(f"$JS.API.{verb}", json.dumps(what).encode(), timeout=5)).data)

    def info() -> dict[str, Any]:
        async def get() -> dict[str, Any]:
            client = await nats.connect(url)
            found = await ask(client, f"CONSUMER.INFO.{consumer}")
            await client.close()
            return found

        return asyncio.run(get())

    config = info()["config"] | {"max_deliver": 1}
    up.busfn("app", "stop", app, "--yes")
    eventually(lambda: "config" not in info())  # or it would be removed under us

    async def forget() -> None:
        client = await nats.connect(url)
        made = await ask(client, f"CONSUMER.CREATE.{consumer}", stream_name="BUSFN_main_JOBS", config=config)
        assert made["config"]["max_deliver"] == 1
        log, inbox = str(tmp_path / "log"), client.new_inbox()
        deliveries = await client.subscribe(inbox)
        for number in range(3):
            await client.jetstream().publish(
                f"busfn.main.job.{app}.single.order{number}", json.dumps([log, number]).encode()
            )
            await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{consumer}", b"", reply=inbox)
            await client.publish((await deliveries.next_msg(timeout=5)).reply, b"-NAK")
        async with asyncio.timeout(20):
            while (await ask(client, f"CONSUMER.INFO.{consumer}"))[
                "num_ack_pending"
            ]:  # it notices when it is asked for more
                await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{consumer}", b'{"no_wait": true}', reply=inbox)
        await client.close()

    asyncio.run(forget())
    up.busfn("deploy", path)
    for number in range(3):
        busfn.FunctionCall.from_id(f"{app}.single.order{number}").get(timeout=60)
    assert sorted((tmp_path / "log").read_text().split()) == ["0", "1", "2"]
    assert up.log.count(f"{app}.single: consumer {app}=single on BUSFN_main_JOBS has forgotten messages") == 1


def test_health_is_green_and_turns_red(own_up, app: str, script: Script, eventually: Eventually) -> None:
    own_up.busfn("deploy", script(APP))
    busfn.Function.from_name(app, "quick").update_autoscaler(min_containers=1)
    eventually(lambda: len(own_up.workers(app, "quick")) == 1)
    checks = own_up.json("health")
    assert {check["what"].split()[0] for check in checks} == {"bus", "controller", "host", "store", "worker"}
    assert all(check["ok"] for check in checks)
    pid = own_up.children()["controllerd"]
    os.kill(pid, 19)
    try:
        eventually(lambda: own_up.run("health").returncode == 1)
    finally:
        os.kill(pid, 18)
    eventually(lambda: own_up.run("health").returncode == 0)
    own_up.stop()
    done = own_up.run("health")
    assert done.returncode == 1
    assert "busfn up" in done.stderr
