"""What a run tells of calls that nobody waits for: failures of spawned calls, and inputs left in the queue."""

from __future__ import annotations

import re

FAILING = """
    import os
    import time
    from pathlib import Path

    import busfn

    app = busfn.App("silent")
    HERE = Path(__file__).parent

    @app.function(max_containers=1)
    def bad(x):
        raise ValueError(f"lost: {x}")

    @app.function(retries=busfn.Retries(max_retries=1, initial_delay=0.1), max_containers=1)
    def twice(x):
        raise KeyError(x)

    @app.function(max_containers=1)
    def gone(x):
        if not (HERE / "gone").exists():
            (HERE / "gone").touch()
            os._exit(7)
        return x

    @app.function()
    def items():
        yield 1
        raise LookupError("no more items")

    @app.function(timeout=1, max_containers=1)
    def slow():
        time.sleep(30)

    def ended(call):
        while True:
            try:
                return call.get(timeout=30)
            except TimeoutError:
                raise
            except Exception as error:
                return type(error).__name__

    @app.local_entrypoint()
    def spawned():
        call = bad.spawn(1)
        print(call.object_id, ended(call))

    @app.local_entrypoint()
    def mapped():
        call = bad.spawn_map(range(3))
        print([type(ended_at(call, n)).__name__ for n in range(3)])

    def ended_at(call, index):
        try:
            call.get(timeout=30, index=index)
        except Exception as error:
            return error

    @app.local_entrypoint()
    def retried():
        print(ended(twice.spawn("k")))

    @app.local_entrypoint()
    def crashed():
        print(ended(gone.spawn(3)))

    @app.local_entrypoint()
    def interactive():
        try:
            bad.remote(1)
        except ValueError:
            print("caught")
        print([type(one).__name__ for one in bad.map([1, 2], return_exceptions=True)])
        try:
            list(items.remote_gen())
        except LookupError:
            print("caught")
        bad.remote(2)

    @app.local_entrypoint()
    def interactive_retried():
        twice.remote("k")

    @app.local_entrypoint()
    def overdue():
        print(ended(slow.spawn()))
"""


def test_silent_failure_of_a_spawned_call_is_told_with_its_traceback(cli):
    cli.script("silent.py", FAILING)
    ended = cli("run", "silent.py::spawned")
    call, kind = ended.out.split()
    assert (ended.code, kind) == (0, "ValueError")
    told = ended.err.splitlines()
    assert told[0] == "bad | Traceback (most recent call last):"
    assert told[-2:] == ["bad | ValueError: lost: 1", f"bad | busfn: call {call} has failed"]
    assert 'silent.py", line' in told[1]
    assert all(line.startswith("bad | ") for line in told)


def test_each_input_of_a_spawn_map_that_fails_is_told(cli):
    cli.script("silent.py", FAILING)
    ended = cli("run", "silent.py::mapped")
    assert ended.out == "['ValueError', 'ValueError', 'ValueError']\n"
    assert re.findall(r"ValueError: lost: (\d)", ended.err) == ["0", "1", "2"]
    assert re.findall(r"has failed|input \d, has failed", ended.err) == [
        "has failed",
        "input 1, has failed",
        "input 2, has failed",
    ]


def test_each_attempt_is_told(cli):
    cli.script("silent.py", FAILING)
    ended = cli("run", "silent.py::retried")
    assert ended.out == "KeyError\n"
    assert ended.err.count("KeyError: 'k'") == 2
    assert ended.err.count("busfn: attempt 1 failed and is tried again in 0.1 s") == 1
    assert ended.err.count("has failed") == 1


def test_a_lost_worker_is_told_once_and_the_input_runs_again(cli):
    cli.script("silent.py", FAILING)
    ended = cli("run", "silent.py::crashed")
    assert (ended.code, ended.out) == (0, "3\n")
    assert re.fullmatch(r"gone \| busfn: worker w\w+ \(pid \d+\) exited with code 7\n", ended.err)


def test_what_its_caller_raises_or_catches_is_not_told_twice(cli):
    cli.script("silent.py", FAILING)
    ended = cli("run", "silent.py::interactive")
    assert (ended.code, ended.out) == (1, "caught\n['ValueError', 'ValueError']\ncaught\n")
    assert "bad | " not in ended.err
    assert "items | " not in ended.err
    assert ended.err.count("ValueError: lost: 2") == 1
    assert "lost: 1" not in ended.err


def test_an_attempt_that_its_caller_does_not_see_is_told(cli):
    cli.script("silent.py", FAILING)
    ended = cli("run", "silent.py::interactive_retried")
    assert ended.code == 1
    assert ended.err.count("twice | KeyError: 'k'") == 1
    assert ended.err.count("KeyError: 'k'") == 2


def test_a_timeout_of_a_spawned_call_is_told(cli):
    cli.script("silent.py", FAILING)
    ended = cli("run", "silent.py::overdue")
    assert ended.out == "FunctionTimeoutError\n"
    assert "slow | busfn.errors.FunctionTimeoutError: silent.slow ran longer than its timeout of 1 s" in ended.err


DROPPED = """
    import sys
    import time
    from pathlib import Path

    import busfn

    app = busfn.App("dropped")
    STARTED = Path(__file__).parent / "started"

    @app.function(max_containers=1)
    def work(x):
        STARTED.touch()
        time.sleep(30)

    @app.function()
    def short(x):
        return x

    @app.local_entrypoint()
    def main():
        work.spawn_map(range(500))
        short.with_options(delay=600).spawn(1)
        short.spawn(1).get(timeout=30)
        while not STARTED.exists():
            time.sleep(0.01)

    @app.local_entrypoint()
    def done():
        list(short.spawn_map(range(100)).iter())
        list(short.map(range(100)))

    if __name__ == "__main__":
        with app.run():
            main()
"""


def test_dropped_inputs_are_counted(cli):
    cli.script("dropped.py", DROPPED)
    ended = cli("run", "--quiet", "dropped.py::main")
    assert (ended.code, ended.out) == (0, "")
    (line,) = ended.err.splitlines()
    found = re.match(r"busfn: (\d+) queued inputs were dropped, .* \(short: 1, work: (\d+)\)\. Wait for them", line)
    assert found
    assert int(found[1]) == int(found[2]) + 1
    assert 499 <= int(found[2]) <= 500
    assert "`busfn run --detach`" in line


def test_a_run_that_leaves_nothing_says_nothing(cli):
    cli.script("dropped.py", DROPPED)
    ended = cli("run", "dropped.py::done")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
