"""`busfn run` with whatever can be wrong: the exit code, a message that helps, and nothing of busfn's insides."""

from __future__ import annotations

import time

import pytest

BROKEN_CALLS = """
    import threading

    import busfn

    app = busfn.App("calls")

    @app.function()
    def f(x, y=None): ...

    @app.function()
    def lock():
        return threading.Lock()

    @app.function()
    def locks():
        yield 1
        yield threading.Lock()

    @app.local_entrypoint()
    def send_lock():
        f.remote(threading.Lock())

    @app.local_entrypoint()
    def send_file():
        f.remote(1, {"files": [1, open(__file__ + ".log", "w")]})

    @app.local_entrypoint()
    def send_by_keyword():
        f.remote(1, y=[threading.Lock()])

    @app.local_entrypoint()
    def receive_lock():
        lock.remote()

    @app.local_entrypoint()
    def too_many():
        f.remote(1, 2, 3)
"""

INSIDES = ("/busfn/", "busfn_cli", "busfn_services", "site-packages", "asyncio", "concurrent/futures", "busfn.protocol")


def refused(cli, *args, code=1, env=None):
    """Stderr of a run that fails as it should."""
    ended = cli("run", *args, env=env)
    assert (ended.code, ended.out) == (code, "")
    assert not [word for word in INSIDES if word in ended.err]
    return ended.err


def test_a_script_that_is_not_there_gets_a_proposal(cli):
    assert refused(cli, "exmaple.py") == "Error: there is no file exmaple.py; did you mean example.py?\n"


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("example.py:square", "'example.py:square' is no reference. Did you mean '::' instead of ':'?"),
        ("example", "'example' is not a Python file. For a Python module write `-m example`."),
        ("example.py::sqare", "example.py has nothing called 'sqare'. Did you mean 'square'?"),
    ],
)
def test_a_wrong_reference_gets_advice(cli, ref, message):
    assert refused(cli, ref).startswith(f"Error: {message}")


def test_of_several_entrypoints_one_must_be_chosen(cli):
    message, _, listed = refused(cli, "example.py").partition("There is:\n")
    assert message.startswith("Error: there are several things to run in example.py. Say which one")
    assert {"later", "leave", "broken"} <= set(listed.split())
    assert "square" not in listed.split()


def test_a_module_that_is_not_there_is_said_so(cli):
    assert refused(cli, "-m", "nopkg.mod::f").startswith("Error: there is no module 'nopkg.mod'")


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("x = = 1\n", 'File "{file}", line 1\n    x = = 1\n', "SyntaxError: invalid syntax\n"),
        (
            "import not_there\n",
            'Traceback (most recent call last):\n  File "{file}", line 1, in <module>\n    import not_there\n',
            "ModuleNotFoundError: No module named 'not_there'\n",
        ),
        (
            "from . import other\n",
            'Traceback (most recent call last):\n  File "{file}", line 1, in <module>\n',
            "From work's parent folder run: busfn run -m work.wrong\n",
        ),
        ("x = 1\n", "Error: wrong.py has no busfn.App: make one", "`@app.function()`\n"),
        (
            "import busfn\napp = busfn.App('a')\n@app.function(memery=3)\ndef f(): ...\n",
            'Traceback (most recent call last):\n  File "{file}", line 3, in <module>\n    @app.function(memery=3)\n',
            "startup_timeout, target_inputs, timeout\n",
        ),
        (
            "import busfn\napp = busfn.App('a')\n@app.local_entrypoint()\ndef f(x: bytes): ...\n",
            "Error: parameter `x` has the annotation bytes, which has no form on a command line\n",
            "",
        ),
    ],
)
def test_a_script_that_cannot_be_run_is_explained(cli, text, begin, end):
    cli.script("wrong.py", text)
    err = refused(cli, "wrong.py")
    assert err.startswith(begin.format(file=cli.folder / "wrong.py"))
    assert err.endswith(end)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["example.py::square"], "Missing option '--x'"),
        (["example.py::square", "--x", "four"], "Invalid value for '--x': 'four' is not a valid integer."),
        (["example.py::square", "--x", "4", "--env", "b"], "No such option: --env"),
        (["--nonsense", "example.py::square"], "No such option: --nonsense"),
    ],
)
def test_wrong_options_are_usage_errors(cli, args, message):
    assert message in refused(cli, *args, code=2)


@pytest.mark.parametrize(
    ("entrypoint", "message"),
    [
        ("send_lock", "SerializationError: args[0] (lock) cannot be pickled: cannot pickle '_thread.lock' object"),
        ("send_file", "SerializationError: args[1]['files'][1] (TextIOWrapper) cannot be pickled"),
        ("send_by_keyword", "['y'][0] (lock) cannot be pickled"),
        ("receive_lock", "SerializationError: result (lock) cannot be pickled: cannot pickle '_thread.lock' object"),
        ("too_many", "TypeError: f() takes from 1 to 2 positional arguments but 3 were given"),
    ],
)
def test_a_wrong_call_shows_the_line_that_made_it(cli, entrypoint, message):
    cli.script("calls.py", BROKEN_CALLS)
    err = refused(cli, f"calls.py::{entrypoint}")
    file = cli.folder / "calls.py"
    assert [line for line in err.splitlines() if "File" in line] == [
        line for line in err.splitlines() if line.startswith(f'  File "{file}", line ') and line.endswith(entrypoint)
    ]
    assert err.count("Traceback") == 1
    assert message in err.splitlines()[-1]


def test_a_result_that_cannot_be_sent_is_said_so(cli):
    cli.script("calls.py", BROKEN_CALLS)
    err = refused(cli, "calls.py::lock")
    assert err == "Error: result (lock) cannot be pickled: cannot pickle '_thread.lock' object\n"


def test_an_item_that_cannot_be_sent_comes_after_those_before_it(cli):
    cli.script("calls.py", BROKEN_CALLS)
    ended = cli("run", "calls.py::locks")
    assert (ended.code, ended.out) == (1, "1\n")
    assert "(lock) cannot be pickled: cannot pickle '_thread.lock' object" in ended.err
    assert "File" not in ended.err


def test_a_script_that_workers_cannot_import_shows_why(cli):
    cli.script(
        "here.py",
        """
        import busfn

        def check():
            if not busfn.is_local():
                raise RuntimeError("no way in here")

        check()
        app = busfn.App("here")

        @app.function()
        def f(): ...
        """,
    )
    err = refused(cli, "here.py")
    assert err.startswith("Error: here.f cannot be served, because its worker failed to start:\n")
    assert err.endswith("\nRuntimeError: no way in here\n")
    assert err.count(f'File "{cli.folder / "here.py"}"') == err.count('File "') == 2


def test_a_server_that_does_not_answer_is_said_so_soon(cli):
    began = time.monotonic()
    err = refused(cli, "example.py::square", "--x", 4, env={"BUSFN_URL": "nats://127.0.0.1:1"})
    assert time.monotonic() - began < 10
    assert err.startswith("Error: no NATS server answers at nats://127.0.0.1:1: ")
    assert len(err.splitlines()) == 1
