"""A child that was forked after the first call connects anew; its parent, and what the parent runs, go on."""

from __future__ import annotations

import os
import signal
import sys

import pytest

APP = """
import asyncio, multiprocessing, os, sys, threading, time, warnings
import busfn

warnings.filterwarnings("ignore", category=DeprecationWarning)  # that a process with threads is forked
app = busfn.App("forked-client")

@app.function()
def same(x):
    return x

@app.function()
def slow(x):
    time.sleep(0.5)
    return x

@app.function()
def count(n):
    yield from range(n)

@app.function(timeout=20)
def forks(x):
    child = os.fork()
    if child == 0:
        os._exit(same.remote(x) + (busfn.Function.from_name("forked-client", "same").remote(0)))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def call_same(x):
    return same.remote(x)

def forked(body, *args):
    "The exit code of a child that runs the body: 0 when it came to its end."
    if (child := os.fork()) == 0:
        code = 1
        try:
            body(*args)
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return child

def ended(*children):
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
"""


@pytest.fixture
def script(cli):
    """Runs the app and then this text in its entrypoint; gives what it printed."""

    def run(text: str, env: dict[str, str] | None = None) -> list[str]:
        body = "".join(f"        {line}\n" for line in text.strip("\n").splitlines())
        cli.script("forked.py", f'{APP}\nif __name__ == "__main__":\n    with app.run():\n{body}    print("over")\n')
        found = cli.python("forked.py", env=env)
        assert (found.code, found.err) == (0, ""), found
        *lines, last = found.out.splitlines()
        assert last == "over"
        return lines

    return run


def test_client_after_fork_connects_anew(script):
    text = """
def child():
    assert (same.remote(1), list(same.map(range(50))), list(count.remote_gen(3))) == (1, list(range(50)), [0, 1, 2])
    assert (same.spawn(2).get(timeout=10), asyncio.run(same.remote.aio(3))) == (2, 3)
    assert busfn.Function.from_name("forked-client", "same").remote(4) == 4
    assert busfn.FunctionCall.from_id(call.object_id).get(timeout=10) == 7
    assert ended(forked(lambda: same.remote(5))) == [0]

call = same.spawn(7)
print(same.remote(1), busfn.Function.from_name("forked-client", "same").remote(2))
print(ended(*[forked(child) for _ in range(3)]))
print(same.remote(2), list(same.map(range(3))))
"""
    assert script(text) == ["1 2", "[0, 0, 0]", "2 [0, 1, 2]"]


def test_it_does_while_calls_are_in_flight(script):
    text = """
found = []
threads = [threading.Thread(target=lambda n=n: found.append(slow.remote(n))) for n in range(4)]
[thread.start() for thread in threads]
print(ended(*[forked(lambda: [same.remote(n) for n in range(20)]) for _ in range(3)]))
[thread.join() for thread in threads]
print(sorted(found))
"""
    assert script(text) == ["[0, 0, 0]", "[0, 1, 2, 3]"]


def test_what_was_begun_before_the_fork_is_refused_in_the_child(script):
    text = """
def child(iterator, items):
    for one in (iterator, items):
        try:
            list(one)
        except busfn.errors.ClientClosed as error:
            assert "before the process was forked" in str(error), error
        else:
            raise AssertionError("it went on")

iterator, items = iter(slow.map(range(100))), count.remote_gen(1000)
next(iterator), next(items)
print(ended(forked(child, iterator, items)))
iterator.close()
print(sum(items) + 0)
"""
    assert script(text) == ["[0]", str(sum(range(1, 1000)))]


def test_a_multiprocessing_pool_makes_calls(script):
    text = """
print(same.remote(1))
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(call_same, range(6)))
print(same.remote(2))
"""
    assert script(text) == ["1", "[0, 1, 2, 3, 4, 5]", "2"]


def test_a_child_keeps_no_socket_of_its_parent(script):
    text = """
def links():
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[int(number)] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass
    return {number: link for number, link in found.items() if number > 2}

def child(before):
    left = {n: link for n, link in links().items() if link.startswith(("socket", "anon_inode:[eventpoll]"))}
    assert not left, (left, before)

same.remote(1)
before = links()
assert any(link.startswith("socket") for link in before.values())
print(ended(forked(child, before)))
"""
    assert script(text) == ["[0]"]


def test_the_processes_of_a_killed_parent_end_though_its_child_lives_on(cli, poll):
    cli.script(
        "killed.py",
        APP
        + """
if __name__ == "__main__":
    with app.run():
        same.remote(1)
        if (child := os.fork()) == 0:
            same.remote(2)
            print(os.getpid(), flush=True)
            time.sleep(60)
        os.waitpid(child, 0)
""",
    )
    running = cli.start("killed.py", program=sys.executable)
    child = int(running.line())
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    poll(lambda: set(cli.processes()) <= {child})
    os.kill(child, signal.SIGKILL)
    running.end()


@pytest.mark.parametrize("leave", ["sys.exit(3)", "raise KeyError(3)", "pass"])
def test_a_child_that_leaves_the_run_ends_nothing_of_its_parent(cli, leave):
    cli.script(
        "leaves.py",
        APP
        + f"""
if __name__ == "__main__":
    with app.run():
        same.remote(1)
        child = os.fork()
        if not child:
            same.remote(2)
            {leave}
        else:
            print("child", ended(child), flush=True)
            print("parent", same.remote(3), list(same.map(range(3))), flush=True)
""",
    )
    found = cli.python("leaves.py")
    assert found.code == 0
    code = {"sys.exit(3)": 3, "raise KeyError(3)": 1, "pass": 0}[leave]
    assert found.out.splitlines() == [f"child [{code}]", "parent 3 [0, 1, 2]"]


def test_a_child_of_a_body_makes_calls(script):
    assert script("print([forks.remote(n) for n in range(3)], list(forks.map(range(4))))") == ["[0, 1, 2] [0, 1, 2, 3]"]


def test_a_preloaded_server_forks_workers_that_call_on_a_shared_bus(cli):
    """As gunicorn does with ``--preload``: the master has used the client, and forks workers now and then."""
    up = cli.start("up")
    assert up.line().startswith("ready")
    cli.script("forked.py", APP)
    assert cli("deploy", "forked.py").code == 0
    cli.script(
        "master.py",
        """
        import asyncio, os, sys
        import busfn

        handle = busfn.Function.from_name("forked-client", "same")

        def work(n):
            calls = [handle.remote(n), *handle.map([n, n]), handle.spawn(n).get(timeout=20)]
            return calls + [asyncio.run(handle.remote.aio(n))] == [n] * 5

        assert handle.remote(1) == 1
        for generation in range(2):
            children = []
            for n in range(3):
                if (child := os.fork()) == 0:
                    os._exit(0 if work(n) else 1)
                children.append(child)
            print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], handle.remote(2))
        """,
    )
    found = cli.python("-W", "ignore", "master.py")
    assert (found.code, found.out.splitlines(), found.err) == (0, ["[0, 0, 0] 2"] * 2, "")
    up.signal(15)
    assert up.wait() == 0
