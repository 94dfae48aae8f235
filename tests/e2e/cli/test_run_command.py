"""`busfn run`, as a user runs it: what it runs, prints and returns, and that nothing is left of it."""

from __future__ import annotations

import signal
import time

import pytest

HELLO = """
    import busfn

    app = busfn.App("hello")

    @app.function()
    def square(x: int) -> int:
        return x * x

    @app.local_entrypoint()
    def main(n: int = 10, name: str = "world", *, loud: bool = False):
        '''Greet, and square some numbers.

        Args:
            n: How many numbers.
        '''
        text = f"hello {name} {square.remote(n)} {list(square.map(range(n)))}"
        print(text.upper() if loud else text)
"""


# What is run


def test_the_only_entrypoint_is_run_with_its_options(cli):
    cli.script("hello.py", HELLO)
    ended = cli("run", "hello.py", "--n", 4, "--name", "bus", "--loud")
    assert (ended.code, ended.out, ended.err) == (0, "HELLO BUS 16 [0, 1, 4, 9]\n", "")


def test_without_options_its_defaults_hold(cli):
    cli.script("hello.py", HELLO)
    ended = cli("run", "hello.py")
    assert (ended.code, ended.out, ended.err) == (0, f"hello world 100 {[x * x for x in range(10)]}\n", "")


def test_help_behind_the_reference_is_about_the_entrypoint(cli):
    cli.script("hello.py", HELLO)
    ended = cli("run", "hello.py", "--help")
    assert (ended.code, ended.err) == (0, "")
    assert "Usage: busfn run hello.py [OPTIONS]" in ended.out
    assert "Greet, and square some numbers." in ended.out
    assert "How many numbers.  [default: 10]" in ended.out


@pytest.mark.parametrize("ref", ["example.py::square", "example.py::app.square"])
def test_a_function_is_run_and_its_result_printed(cli, ref):
    ended = cli("run", ref, "--x", 4)
    assert (ended.code, ended.out, ended.err) == (0, "16\n", "")


def test_a_function_of_a_package_is_run_with_m(cli):
    cli.script("pkg/__init__.py", "")
    cli.script("pkg/helper.py", "def double(x): return 2 * x")
    cli.script(
        "pkg/mod.py",
        """
        import busfn
        from .helper import double

        app = busfn.App("pkg")

        @app.function()
        def twice(x: int) -> int:
            return double(x)
        """,
    )
    ended = cli("run", "-m", "pkg.mod::twice", "--x", 21)
    assert (ended.code, ended.out, ended.err) == (0, "42\n", "")


def test_an_async_entrypoint_is_awaited(cli):
    ended = cli("run", "example.py::later", "--n", 3)
    assert (ended.code, ended.out, ended.err) == (0, "async 9 [0, 1, 4]\n", "")


def test_args_alone_get_the_rest_of_the_command_line(cli):
    ended = cli("run", "example.py::rest", "abc", "--foo=123", "--", "-q", "--help")
    assert (ended.code, ended.out) == (0, "('abc', '--foo=123', '--', '-q', '--help')\n")


def test_an_app_that_runs_cannot_be_run_again(cli):
    ended = cli("run", "example.py::again")
    assert ended.code == 1
    assert "App is already running" in ended.err


# What is printed


def test_a_result_of_none_prints_nothing(cli):
    ended = cli("run", "example.py::nothing")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_items_are_printed_as_they_come(cli):
    run = cli.start("run", "example.py::steps", "--folder", cli.folder, "--n", 3)
    assert run.line() == "item 0"  # the body waits for the file now
    (cli.folder / "1.go").touch()
    assert run.line() == "item 1"
    (cli.folder / "2.go").touch()
    assert run.line() == "item 2"
    ended = run.end()
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_what_bodies_print_goes_to_stderr_with_their_name(cli):
    ended = cli("run", "example.py::shout", "--words", "hi there")
    assert (ended.code, ended.out) == (0, "result\n")
    assert sorted(ended.err.splitlines()) == ["shout | HI THERE", "shout | hi there"]


def test_quiet_hides_what_bodies_print_but_no_error(cli):
    ended = cli("run", "-q", "example.py::shout", "--words", "hi there")
    assert (ended.code, ended.out, ended.err) == (0, "result\n", "")
    failed = cli("run", "--quiet", "example.py::fail", "--message", "oh no")
    assert failed.code == 1
    assert "oh no" in failed.err


# Where results and environments go


@pytest.mark.parametrize(
    ("what", "content"), [("text", "grüße\n".encode()), ("data", b"\x00\xff"), ("written", b"by the entrypoint")]
)
def test_a_result_is_written_to_a_file(cli, what, content):
    ended = cli("run", "-w", "result", f"example.py::{what}")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert (cli.folder / "result").read_bytes() == content


def test_other_results_cannot_be_written(cli):
    ended = cli("run", "--write-result", "result", "example.py::square", "--x", 3)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "Error: Function must return str or bytes when using `--write-result`; got int.\n"
    assert not (cli.folder / "result").exists()


def test_a_result_that_cannot_be_written_is_an_error(cli):
    ended = cli("run", "-w", "missing/result", "example.py::text")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "Error: the result cannot be written to missing/result: No such file or directory\n"


@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_environment_is_that_of_caller_and_worker(cli, how):
    options, env = (["--env", "other"], {}) if how == "option" else ([], {"BUSFN_ENV": "other"})
    ended = cli("run", *options, "example.py::environment", env=env)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "other busfn.other.fn.example.square busfn.other.fn.example.square\n"


# How it ends


@pytest.mark.parametrize(
    ("tokens", "code", "err"),
    [
        (["example.py::leave", "--code", "7"], 7, ""),
        (["example.py::leave_with_words"], 1, "that is enough\n"),
    ],
)
def test_sys_exit_in_an_entrypoint_is_the_exit_code(cli, tokens, code, err):
    ended = cli("run", *tokens)
    assert (ended.code, ended.out, ended.err) == (code, "", err)


def frames(err: str) -> list[str]:
    """The functions in a traceback, outermost first; all must be in the user's file."""
    lines = [line.strip() for line in err.splitlines() if line.strip().startswith('File "')]
    assert all('/example.py", line ' in line for line in lines)
    return [line.rpartition(" in ")[2] for line in lines]


def test_an_exception_in_an_entrypoint_shows_the_users_frames(cli):
    ended = cli("run", "example.py::broken")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Traceback (most recent call last):\n")
    assert ended.err.endswith("\nKeyError: 'missing'\n")
    assert frames(ended.err) == ["broken", "helper"]
    assert "busfn/" not in ended.err


def test_a_remote_exception_shows_its_class_and_remote_frame(cli):
    ended = cli("run", "example.py::fail", "--message", "oh no")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.endswith("\nexample.Refused: oh no\n")
    assert frames(ended.err) == ["fail"]


def test_a_remote_exception_in_an_entrypoint_shows_the_frames_of_both_sides(cli):
    ended = cli("run", "example.py::fail_far", "--message", "oh no")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.endswith("\nexample.Refused: oh no\n")
    assert frames(ended.err) == ["fail_far", "fail"]
    assert "busfn/" not in ended.err


@pytest.mark.parametrize("what", ["hold", "hold_here"])
def test_ctrl_c_ends_all_of_it_at_once(cli, poll, what):
    run = cli.start("run", f"example.py::{what}", "--folder", cli.folder)
    poll((cli.folder / "holding").exists)
    assert len(cli.processes()) >= 6, "the command, guardian, server, host, fork server, worker"
    began = time.monotonic()
    run.signal(signal.SIGINT)
    ended = run.end()
    assert time.monotonic() - began < 5
    assert (ended.code, ended.out, ended.err) == (130, "", "Interrupted.\n")
    assert cli.leftovers() == []


def test_nothing_survives_a_killed_command(cli, poll):
    run = cli.start("run", "example.py::hold", "--folder", cli.folder)
    poll((cli.folder / "holding").exists)
    assert len(cli.processes()) >= 6
    assert list(cli.temp.glob("busfn-*")), "the server keeps its files there"
    run.signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    poll(lambda: not cli.leftovers(), 10.0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_nothing_is_left_when_it_is_ended_at_its_start(cli, poll, number, code):
    run = cli.start("run", "example.py::hold", "--folder", cli.folder)
    poll(lambda: any("busfn_services.host" in line for line in cli.processes().values()))
    run.signal(number)
    ended = run.end()
    assert ended.code == code
    assert "Traceback" not in ended.err
    poll(lambda: not cli.leftovers(), 10.0)
